"""A run as it is watched: every event reaches its pane."""

from __future__ import annotations

from pathlib import Path

import pytest

from flux2 import events as ev
from tests.tui.replay import START, ReplayBackend, events_of_a_run, mid_run, picture_png
from tests.tui.screen import running, settled, text_of


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_a_run_is_shown_mid_way_to_one_who_attaches(size: tuple[int, int]) -> None:
    async with running(mid_run(), size=size) as (app, _):
        text = text_of(app)
        for shown in ("step 8 of 12", "✓ encode", "● denoise", "○ decode", "left", "limit 48 GB", "step 7 of 12: "):
            assert shown in text, shown
        assert "⣿" in text
        assert "▀" in text  # the preview


async def test_steps_memory_and_preview_follow_the_events() -> None:
    backend = mid_run(3)
    async with running(backend) as (app, pilot):
        assert "step 4 of 12" in text_of(app)
        new = [event for event in events_of_a_run(6) if event.time > max(past.time for past in backend.past)]
        backend.feed(*new)
        await settled(pilot)
        assert "step 7 of 12" in text_of(app)
        assert app.session.preview is not None
        assert app.session.preview.step == 6


async def test_the_finished_picture_takes_the_previews_place(tmp_path: Path) -> None:
    backend = mid_run(12)
    picture = tmp_path / "cat.png"
    picture.write_bytes(picture_png(12, 12))
    async with running(ReplayBackend(past=tuple(events_of_a_run(7)))) as (app, pilot):
        backend = app.worker
        assert isinstance(backend, ReplayBackend)
        done = ev.RunFinished(run="r1", time=START + 90, path=str(picture), seed=1234, seconds=90, peaks={}, timings={})
        backend.feed(done)
        await settled(pilot)
        text = text_of(app)
        assert "Picture" in text
        assert "Saved cat.png" in text
        assert app.dashboard.preview.cells._source == picture


async def test_elapsed_and_eta_tick_by_themselves() -> None:
    async with running(mid_run()) as (app, pilot):
        before = app.dashboard.progress.heading.detail.plain
        app.session.clock.now += 3  # type: ignore[attr-defined]
        await pilot.pause(1.1)
        after = app.dashboard.progress.heading.detail.plain
        assert before != after
        assert "elapsed 1:13" in before
        assert "elapsed 1:16" in after


async def test_a_failed_run_is_a_sentence_in_pane_log_and_toast() -> None:
    backend = mid_run()
    async with running(backend) as (app, pilot):
        sentence = "vae/model.safetensors is truncated; download it again."
        backend.feed(ev.RunFailed(run="r1", time=START + 80, message=sentence, details="Traceback …"))
        await settled(pilot)
        text = text_of(app)
        assert text.count("vae/model.safetensors") >= 3
        assert "✗ denoise" in text
        assert "Traceback" not in text


async def test_a_long_sentence_is_shown_to_its_end_in_the_smallest_pane() -> None:
    backend = mid_run()
    async with running(backend, size=(80, 24)) as (app, pilot):
        path = "/home/me/pictures/a-fluffy-orange-tabby-cat-sitting-on-a-windowsill-at-sunset-1234.png"
        sentence = f"The picture can't be saved as {path}: the disk is full; choose another."
        backend.feed(ev.RunFailed(run="r1", time=START + 80, message=sentence))
        await settled(pilot)
        body = app.dashboard.progress.body
        assert "".join("".join(text for text, _ in line) for line in body._lines()) == sentence
        assert len(list(body._lines())) <= body.size.height


async def test_the_log_follows_its_end_until_one_scrolls_up() -> None:
    backend = mid_run()
    async with running(backend) as (app, pilot):
        for number in range(30):
            backend.feed(ev.Logged(time=START + 80, level="info", message=f"line number {number}"))
        await settled(pilot)
        assert "line number 29" in text_of(app)
        app.dashboard.log_pane.lines.focus()
        await pilot.press("pageup", "pageup")
        await settled(pilot)
        assert "line number 29" not in text_of(app)
        backend.feed(ev.Logged(time=START + 81, level="info", message="line number 30"))
        await settled(pilot)
        assert "line number 30" not in text_of(app)
        await pilot.press("end")
        await settled(pilot)
        assert "line number 30" in text_of(app)
