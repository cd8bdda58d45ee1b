"""Pictures beside each other, on a replayed worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PIL import Image
from textual.pilot import Pilot
from textual.widgets._toast import Toast

from flux2 import events as ev
from flux2.inputs.checks import QUANTIZATIONS
from tests.tui.pictures import FOX, comparing, gallery, made, name_of, resting
from tests.tui.replay import ReplayBackend
from tests.tui.screen import make_app, running, settled, text_of, until
from tui.screens.viewer import Viewer

Compare = Callable[..., bool]
OTHERS = QUANTIZATIONS[1:]
"""Levels that are compared with the first."""


def finished(run: str, path: Path) -> ev.RunFinished:
    return ev.RunFinished(run=run, path=str(path), seed=42, seconds=1.0, peaks={}, timings={})


async def test_what_is_there_is_used_and_the_rest_is_queued_and_comes_in(folder: Path) -> None:
    made(folder, "bf16", color=(200, 60, 20))
    backend = ReplayBackend()
    async with gallery(backend) as (gallery_screen, pilot):
        app = gallery_screen.app
        await pilot.press("c")
        screen = await comparing(pilot, 1)
        await until(pilot, lambda: len(backend.enqueued) == len(OTHERS))
        assert backend.enqueued == [replace(FOX, quantization=level) for level in OTHERS]
        queue = tuple(
            {"id": f"r{place}", "state": "queued", "request": request.to_dict()}
            for place, request in enumerate(backend.enqueued, 1)
        )
        backend.feed(ev.QueueChanged(items=queue))
        await until(pilot, lambda: text_of(app).count("queued") >= len(OTHERS))
        backend.feed(
            ev.QueueChanged(items=queue[1:]),
            finished("r1", made(folder, "q", quantization="qint8", color=(202, 60, 20))),
        )
        await comparing(pilot, 2)
        await until(pilot, lambda: "PSNR 46.9 dB" in text_of(app))  # 2 of 255 in one channel of three
        for words in ("active 1.00 GB", "peak 3.00 GB", "time 9.50 s", "SSIM 1.000"):
            assert words in text_of(app)
        # Closed and opened again, it is found from the pictures and the queue.
        await pilot.press("escape", "c")
        again = await comparing(pilot, 2)
        assert again is not screen
        assert len(backend.enqueued) == len(OTHERS)
        assert "queued" in text_of(app)


async def test_a_failed_one_says_why_and_r_queues_it_again(folder: Path) -> None:
    made(folder, "bf16")
    made(folder, "qint8", quantization="qint8")
    backend = ReplayBackend()
    async with gallery(backend) as (screen, pilot):
        await pilot.press("c")
        await comparing(pilot, 2)
        await until(pilot, lambda: len(backend.enqueued) == len(OTHERS) - 1)
        request = backend.enqueued[0].to_dict()
        backend.feed(
            ev.QueueChanged(items=({"id": "r1", "state": "running", "request": request},)),
            ev.RunStarted(run="r1", request=request, phases=ev.PHASES_OF_TEXT),
            ev.RunFailed(run="r1", message="The disk is full."),
            ev.QueueChanged(items=()),
        )
        await until(
            pilot, lambda: bool(screen.app.screen.check_action("retry", ()))
        )  # a notice says it, too, and sooner
        assert "The disk is full." in text_of(screen.app)
        await pilot.press("r")
        await until(pilot, lambda: len(backend.enqueued) > len(OTHERS) - 1)
        assert {request.quantization for request in backend.enqueued} == {*OTHERS} - {"qint8"}


async def test_a_refusal_is_told_once_and_nothing_hangs(folder: Path) -> None:
    made(folder, "bf16")
    backend = ReplayBackend(refuses="The queue is full.")
    async with gallery(backend) as (screen, pilot):
        await pilot.press("c")
        await comparing(pilot, 1)
        await until(pilot, lambda: "The queue is full." in text_of(screen.app))
        assert text_of(screen.app).count("missing") == len(OTHERS)


async def test_flicker_difference_and_the_sheet(folder: Path) -> None:
    made(folder, "bf16", 3, color=(100, 100, 100))
    made(folder, "qint8", 2, color=(103, 100, 100), quantization="qint8")
    made(folder, "int6", 1, color=(100, 100, 110), quantization="int6")
    async with gallery() as (gallery_screen, pilot):
        app = gallery_screen.app
        await pilot.press("c")
        screen = await comparing(pilot, 3)

        async def shown() -> object:
            await until(pilot, lambda: screen.alone.settled and screen.alone._drawn is not None)
            assert screen.alone._drawn is not None
            return screen.alone._drawn.image.getpixel((5, 5))

        await pilot.press("right", "space")
        assert await shown() == (100, 100, 110)
        await pilot.press("space")
        assert await shown() == (100, 100, 100)
        assert "Flicker" in text_of(app)
        await pilot.press("space", "left")
        assert await shown() == (103, 100, 100)
        await pilot.press("right", "d")
        await until(pilot, lambda: screen.alone._image is not None and screen.alone._image.getpixel((5, 5))[0] == 0)
        assert await shown() == (0, 0, 80)
        await pilot.press("plus")
        await until(pilot, lambda: screen.alone._image.getpixel((5, 5)) == (0, 0, 160))  # type: ignore[union-attr]
        await pilot.press("minus", "minus")
        await until(pilot, lambda: screen.alone._image.getpixel((5, 5)) == (0, 0, 40))  # type: ignore[union-attr]
        await pilot.press("d", "w")
        await until(pilot, lambda: list(folder.glob("compare-*.png")))
        await until(pilot, lambda: bool(app.screen.query(Toast)))
        bottom = screen.columns[0]._figures.region.y
        assert all(toast.region.bottom <= bottom for toast in app.screen.query(Toast))
        with Image.open(next(folder.glob("compare-*.png"))) as sheet:
            assert sheet.width > 3 * 256
            assert {(103, 100, 100), (100, 100, 110)} <= set(sheet.convert("RGB").get_flattened_data())
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Viewer))
        assert name_of(app.screen) == "int6"  # type: ignore[arg-type]


async def test_picked_pictures_are_compared_with_each_other(folder: Path) -> None:
    for number in range(3):
        made(folder, f"p{number}", number, seed=number, color=(10 * number, 0, 0))
    backend = ReplayBackend()
    async with gallery(backend) as (screen, pilot):
        await pilot.press("space", "right", "right", "space")
        await until(pilot, lambda: "2 picked" in text_of(screen.app))
        assert text_of(screen.app).count("●") == 2
        await pilot.press("c")
        compared = await comparing(pilot, 2)
        assert [entry.label for entry in compared.comparison.entries] == ["bf16 2", "bf16 0"]
        assert backend.enqueued == []
        await pilot.press("f")
        await until(pilot, lambda: "★" in text_of(screen.app))


async def test_the_dashboards_keys_compare_and_mark_its_last_picture(folder: Path) -> None:
    path = made(folder, "bf16")
    backend = ReplayBackend(
        past=(ev.RunStarted(run="r0", request=FOX.to_dict(), phases=ev.PHASES_OF_TEXT), finished("r0", path))
    )
    async with running(backend) as (app, pilot):
        await pilot.press("escape", "f")
        await until(pilot, lambda: "bf16.png is now a favourite" in text_of(app))
        await pilot.press("c")
        await comparing(pilot, 1)
        await until(pilot, lambda: len(backend.enqueued) == len(OTHERS))


async def test_a_folders_model_can_be_compared_once_it_is_chosen(folder: Path, tmp_path: Path) -> None:
    made(folder, "bf16", model="my-tune")
    backend = ReplayBackend()
    async with gallery(backend) as (screen, pilot):
        app = screen.app
        await pilot.press("c")
        await until(pilot, lambda: "keep the name" in text_of(app))
        assert app.screen is screen
        app.choose(replace(app.choices, model=str(tmp_path / "my-tune")))
        await pilot.press("c")
        await until(pilot, lambda: len(backend.enqueued) == len(QUANTIZATIONS))
        assert {request.model for request in backend.enqueued} == {str(tmp_path / "my-tune")}


def test_compare_looks(snap_compare: Compare, folder: Path) -> None:
    made(folder, "bf16", color=(100, 100, 100))
    made(folder, "qint8", color=(103, 100, 100), quantization="qint8")
    made(folder, "int6", color=(90, 100, 110), quantization="int6")

    async def open_comparison(pilot: Pilot[None]) -> None:
        await settled(pilot)
        await pilot.press("escape", "3")
        await resting(pilot)
        await pilot.press("c")
        screen = await comparing(pilot, 3)
        await until(pilot, lambda: all(column.view.settled for column in screen.columns))
        await until(pilot, lambda: "flicker" in text_of(screen.app))

    assert snap_compare(make_app(ReplayBackend()), terminal_size=(80, 24), run_before=open_comparison)
