"""The real engine in a real worker, with the embedded checkpoint."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flux2 import events as ev
from flux2.pictures.images import read_metadata
from flux2.request import GenerationRequest
from flux2.worker.client import WorkerClient, connect_or_start
from flux2.worker.commands import Cancel, Enqueue, Unload
from flux2.worker.history import ENDINGS
from tests.worker.home import Home, events_until, eventually, next_event, of_type

SMALL = GenerationRequest(prompt="a red fox", width=64, height=64, steps=2, seed=3)


@pytest.fixture(scope="module")
def cache() -> Iterator[Path]:
    """What the engine makes once for a checkpoint, shared by these tests."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


async def attach(home: Home, cache: Path) -> WorkerClient:
    (home.folder / "cache").symlink_to(cache)
    client = await connect_or_start()
    home.clients.append(client)
    return client


async def test_a_picture_is_made_and_the_model_kept_until_it_is_unloaded(home: Home, cache: Path) -> None:
    client = await attach(home, cache)
    run = (await client.ask(Enqueue(SMALL))).run
    heard = await events_until(client, *ENDINGS)
    finished = heard[-1]
    assert isinstance(finished, ev.RunFinished), finished
    phases = [event.phase for event in of_type(heard, ev.PhaseFinished, run)]
    assert phases == list(ev.PHASES_OF_TEXT)
    assert len(of_type(heard, ev.StepFinished, run)) == len(of_type(heard, ev.Preview, run)) == SMALL.steps
    assert Path(finished.path).is_relative_to(home.folder / "pictures")
    assert read_metadata(Path(finished.path)).request == replace(SMALL, guidance=1.0)
    samples = of_type(heard, ev.MemorySampled, run)
    assert any(sample.memory.active > 0 for sample in samples)

    again = (await client.ask(Enqueue(SMALL))).run
    heard = await events_until(client, *ENDINGS, run=again)
    phases = [event.phase for event in of_type(heard, ev.PhaseFinished, again)]
    assert phases == ["denoise", "decode", "save"]
    assert client.worker.model == "pocket bf16"
    assert client.worker.memory_limit > 0

    await client.ask(Unload())
    await eventually(lambda: client.worker.model == "")
    sample = await next_event(client, ev.MemorySampled)
    assert sample.memory.active < 2**20


async def test_a_real_run_is_cancelled_between_steps_and_fails_in_a_sentence(home: Home, cache: Path) -> None:
    client = await attach(home, cache)
    run = (await client.ask(Enqueue(replace(SMALL, steps=1000)))).run
    step = (await events_until(client, ev.StepFinished, *ENDINGS))[-1]
    assert isinstance(step, ev.StepFinished), step
    assert (await client.ask(Cancel(run))).cancelled
    assert isinstance((await events_until(client, *ENDINGS))[-1], ev.RunCancelled)
    await client.ask(Enqueue(replace(SMALL, model=str(home.folder))))
    failed = (await events_until(client, *ENDINGS))[-1]
    assert isinstance(failed, ev.RunFailed)
    assert str(home.folder) in failed.message


async def test_samples_keep_coming_while_the_engine_computes(home: Home, cache: Path) -> None:
    client = await attach(home, cache)
    run = (await client.ask(Enqueue(replace(SMALL, width=256, height=256, steps=4)))).run
    samples = of_type(await events_until(client, *ENDINGS), ev.MemorySampled, run)
    gaps = [later.time - sample.time for sample, later in itertools.pairwise(samples)]
    assert sorted(gaps)[len(gaps) // 2] < 0.4  # a quarter of a second, but for the machine's other work
