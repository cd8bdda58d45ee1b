"""The list of models: what it says as downloads come and go, and what its keys ask of the worker."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot

from flux2 import events as ev
from flux2.checkpoint import manifest
from flux2.checkpoint.manifest import HubFile, Manifest
from flux2.paths import pocket_checkpoint
from tests.tui.replay import GB, ReplayBackend, queue_of
from tests.tui.screen import running, settled, text_of, until
from tui.app import Flux2App
from tui.screens.models import ModelsScreen

SMALL = (80, 24)
NAMES = ["pocket", "klein-4b", "klein-9b", "klein-9b-kv", "klein-base-4b", "klein-base-9b", "dev"]


@pytest.fixture(autouse=True)
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Hub cache of its own, on a disk with 40 GB free; klein-base-4b is there."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("tui.screens.models.free_room", lambda: (tmp_path / "hub", 40 * GB))
    snapshot = manifest.storage("black-forest-labs/FLUX.2-klein-base-4B") / "snapshots" / "abc"
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(pocket_checkpoint())
    return tmp_path / "hub"


def progress(state: str = "downloading", done: float = 6.0, **more: object) -> ev.DownloadProgress:
    told = {"model": "klein-4b", "state": state, "done": int(done * GB), "total": 16 * GB, **more}
    return ev.DownloadProgress(**told)  # type: ignore[arg-type]


async def open_models(app: Flux2App, pilot: Pilot[None], model: str) -> ModelsScreen:
    """The screen with the cursor on a model."""
    await pilot.press("escape", "5")
    screen = app.screen
    assert isinstance(screen, ModelsScreen)
    await until(pilot, lambda: screen.list.option_count)
    screen.list.highlighted = NAMES.index(model)
    await settled(pilot)
    return screen


async def told(app: Flux2App, pilot: Pilot[None], backend: ReplayBackend, *events: ev.Event) -> None:
    """The worker says something, and the screen has shown it."""
    backend.feed(*events)
    await until(
        pilot,
        lambda: all(app.session.downloads.get(event.model) == event for event in events[-1:]),  # type: ignore[attr-defined]
    )
    assert isinstance(app.screen, ModelsScreen)
    app.screen._follow()
    if looking := [worker for worker in app.workers if worker.group == "look"]:
        await app.workers.wait_for_complete(looking)
    await settled(pilot)


def row(app: Flux2App, title: str) -> str:
    return next(line.strip() for line in text_of(app).splitlines() if title in line)


@pytest.mark.parametrize("size", [SMALL, (120, 40)])
async def test_the_list_says_what_each_model_needs_and_where_it_is(size: tuple[int, int]) -> None:
    async with running(ReplayBackend(), size=size) as (app, pilot):
        await open_models(app, pilot, "klein-9b")
        assert row(app, "Pocket").startswith("> Pocket (embedded)") and row(app, "Pocket").endswith("in the program")
        assert "~16.0 GB" in row(app, "Klein 4B") and row(app, "Klein 4B").endswith("not here")
        assert row(app, "base 4B").endswith("here") and "not here" not in row(app, "base 4B")
        assert "gated" in row(app, "Klein 9B") and "gated" not in row(app, "base 4B")
        text = " ".join(text_of(app).split())
        assert "https://huggingface.co/black-forest-labs/FLUX.2-klein-9B" in text
        assert "log in on this machine with hf auth login; then d downloads it." in text
        assert "40.0 GB free in" in text


async def test_what_does_not_fit_the_disk_is_said() -> None:
    async with running(ReplayBackend(), size=SMALL) as (app, pilot):
        await open_models(app, pilot, "dev")
        assert "It needs 113 GB more and 40.0 GB are free: make room" in " ".join(text_of(app).split())


async def test_a_download_is_begun_watched_paused_and_cancelled() -> None:
    backend = ReplayBackend()
    async with running(backend, size=SMALL) as (app, pilot):
        await open_models(app, pilot, "klein-4b")
        await pilot.press("space", "c", "delete")
        assert backend.model_asks == [], "there is nothing to pause, cancel or delete"
        await pilot.press("d")
        await told(app, pilot, backend, progress("starting", 0))
        assert backend.model_asks == [("start", "klein-4b")]
        await told(app, pilot, backend, progress(bytes_per_second=20e6))
        assert row(app, "Klein 4B").endswith("37 %  20.0 MB/s  8:20 left")
        assert "6.00 of 16.0 GB  20.0 MB/s  8:20 left" in text_of(app)
        await pilot.press("d", "space")
        await told(app, pilot, backend, progress("paused"))
        assert row(app, "Klein 4B").endswith("37 %  paused")
        await pilot.press("p", "c")
        await settled(pilot)
        assert backend.model_asks[1:] == [("pause", "klein-4b"), ("start", "klein-4b"), ("cancel", "klein-4b")]


async def test_a_failure_and_a_wait_are_told_in_the_workers_words() -> None:
    backend = ReplayBackend()
    async with running(backend, size=SMALL) as (app, pilot):
        await open_models(app, pilot, "klein-4b")
        await told(app, pilot, backend, progress("waiting", message="The Hub does not answer."))
        assert row(app, "Klein 4B").endswith("37 %  waiting") and "The Hub does not answer." in text_of(app)
        await told(app, pilot, backend, progress("failed", message="The disk is full. \x1b[31mMake room."))
        assert row(app, "Klein 4B").endswith("failed") and "The disk is full. \\x1b[31mMake room." in text_of(app)


async def test_the_disk_is_looked_at_again_when_a_download_has_ended(disk: Path) -> None:
    backend = ReplayBackend()
    async with running(backend, size=SMALL) as (app, pilot):
        await open_models(app, pilot, "klein-4b")
        repo, sha = "black-forest-labs/FLUX.2-klein-4B", "0" * 64
        Manifest(repo, "abc", (HubFile("vae/x.safetensors", 2 * GB, sha),)).save()
        part = disk / "models--black-forest-labs--FLUX.2-klein-4B" / "blobs" / f"{sha}.flux2.incomplete"
        part.parent.mkdir(parents=True)
        with part.open("wb") as file:
            file.truncate(GB)
        await told(app, pilot, backend, progress("cancelled"))
        assert row(app, "Klein 4B").endswith("50 % here") and "2.00 GB" in row(app, "Klein 4B")
        assert "1.00 of 2.00 GB are here; d goes on where it stopped." in text_of(app)
        await pilot.press("delete", "n", "delete", "y")
        await settled(pilot)
        assert backend.model_asks == [("delete", "klein-4b")]


async def test_the_model_menu_leads_there_and_tells_what_is_here() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press("escape", "m")
        await settled(pilot)
        assert "not here" in row(app, "Klein 9B") and "not here" not in row(app, "base 4B")
        await pilot.press("5")
        await settled(pilot)
        assert isinstance(app.screen, ModelsScreen)


async def test_enter_uses_the_model_and_goes_back() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        await open_models(app, pilot, "klein-base-4b")
        await pilot.press("enter")
        await settled(pilot)
        assert app.choices.model == "klein-base-4b" and app.screen is app.dashboard


async def test_a_refusal_is_shown() -> None:
    backend = ReplayBackend(refuses="There are pictures to make with klein-base-4b; cancel them or wait.")
    async with running(backend) as (app, pilot):
        await open_models(app, pilot, "klein-base-4b")
        await pilot.press("delete", "delete")
        await settled(pilot)
        assert "There are pictures to make" in app.session.log[-1].message


async def test_the_dashboard_shows_the_download_that_a_run_waits_for() -> None:
    backend = ReplayBackend(queue=queue_of("a fox"))
    async with running(backend, size=SMALL) as (app, pilot):
        backend.feed(progress(model="klein-9b", bytes_per_second=20e6))
        await pilot.pause(0.1)
        await settled(pilot)
        text = text_of(app)
        assert "Downloading klein-9b 6.00 of 16.0 GB" in text and "20.0 MB/s 8:20 left" in text
        await pilot.press("escape", "x", "x")
        await settled(pilot)
        assert backend.cancelled == ["r1"]
