"""A worker that nothing bad happens to: runs, queue, several screens."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from flux2 import events as ev
from flux2.errors import WorkerError
from flux2.inputs.checks import MAX_PROMPT
from flux2.paths import state_dir
from flux2.pictures.images import read_pixels
from flux2.progress import RunProgress
from flux2.request import GenerationRequest
from flux2.worker.client import WorkerLeft
from flux2.worker.commands import Cancel, CountTokens, Enqueue, Ping, Quit, Remove, TokenCount, Unload
from flux2.worker.history import ENDINGS
from tests.worker.fake_runner import picture
from tests.worker.home import Home, events_until, eventually, heard_until_lost, next_event, of_type, request


async def test_a_run_is_told_from_beginning_to_end(home: Home) -> None:
    client = await home.attach()
    run = (await client.ask(Enqueue(request("a fox steps=3")))).run
    heard = await events_until(client, ev.RunFinished)
    steps = of_type(heard, ev.StepFinished, run)
    assert [step.step for step in steps] == [1, 2, 3]
    story = [type(event) for event in heard if event.run == run and not isinstance(event, ev.MemorySampled)]
    assert story[0] is ev.RunStarted
    assert story[-1] is ev.RunFinished
    previews = of_type(heard, ev.Preview, run)
    assert [preview.png for preview in previews] == [picture(step) for step in (1, 2, 3)]
    assert read_pixels(Path(of_type(heard, ev.RunFinished)[0].path)).getpixel((0, 0)) == (0, 100, 150)


async def test_memory_is_sampled_four_times_a_second_and_names_the_phase(home: Home) -> None:
    client = await home.attach()
    run = (await client.ask(Enqueue(request("steps=10 pause=0.2")))).run
    samples = of_type(await events_until(client, ev.RunFinished), ev.MemorySampled, run)
    assert 2 < len(samples) <= (samples[-1].time - samples[0].time) * 4 + 2
    assert {sample.phase for sample in samples} <= set(ev.PHASES) | {""}
    assert "denoise" in {sample.phase for sample in samples}


async def test_the_worker_says_who_it_is(home: Home) -> None:
    client = await home.attach()
    await eventually(lambda: client.worker.ready)
    assert (client.worker.device, client.worker.memory_limit) == ("Fake device", 8 << 30)
    assert client.worker.pid == client.pid
    assert client.worker.model == ""
    await client.ask(Enqueue(request()))
    await events_until(client, ev.RunFinished)
    await eventually(lambda: client.worker.model == "pocket bf16")
    await client.ask(Unload())
    await eventually(lambda: client.worker.model == "")


async def test_the_socket_answers_before_the_engine_is_loaded(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = home.folder / "loaded"
    monkeypatch.setenv("FAKE_PREPARE", str(loaded))
    client = await home.attach()
    assert not client.worker.ready
    await client.ask(Enqueue(request()))  # is taken at once, and begins when the engine is there
    loaded.touch()
    await events_until(client, ev.RunFinished)
    assert client.worker.ready


async def test_questions_asked_at_once_all_get_their_answers(home: Home) -> None:
    client = await home.attach()
    slow = client.ask(CountTokens("pocket", "a red fox"))  # which a thread answers, after the others
    assert (await asyncio.gather(client.ask(Ping()), client.ask(Ping()), slow))[-1] == TokenCount(3, 512)


async def test_requests_run_in_order_and_waiting_ones_can_be_removed(home: Home) -> None:
    client = await home.attach()
    first = (await client.ask(Enqueue(request("steps=20")))).run
    second, third = [(await client.ask(Enqueue(request()))).run for _ in range(2)]
    await client.ask(Remove(second))
    with pytest.raises(WorkerError, match="not waiting"):
        await client.ask(Remove(second))
    heard = await events_until(client, ev.RunFinished, run=third)
    assert [event.run for event in of_type(heard, ev.RunStarted)] == [first, third]
    queues = [[(item["id"], item["state"]) for item in event.items] for event in of_type(heard, ev.QueueChanged)]
    assert [(first, "running"), (second, "queued"), (third, "queued")] in queues
    assert [(first, "running"), (third, "queued")] in queues
    last = await next_event(client, ev.QueueChanged)
    assert last.items == ()


async def test_a_run_can_be_cancelled_and_the_next_one_begins(home: Home) -> None:
    client = await home.attach()
    first = (await client.ask(Enqueue(request("steps=1000")))).run
    second = (await client.ask(Enqueue(request()))).run
    await events_until(client, ev.StepFinished)
    assert not (await client.ask(Cancel(second))).cancelled  # it waits; that is for remove
    assert (await client.ask(Cancel(first))).cancelled
    heard = await events_until(client, ev.RunFinished)
    assert of_type(heard, ev.RunCancelled, first)
    assert heard[-1].run == second
    assert not (await client.ask(Cancel(first))).cancelled


@pytest.mark.parametrize(
    ("script", "words"),
    [("fail", "The file is truncated; download it again."), ("crash", "ZeroDivisionError: by zero")],
)
async def test_a_failure_is_one_sentence_and_the_worker_goes_on(home: Home, script: str, words: str) -> None:
    client = await home.attach()
    await client.ask(Enqueue(request(script)))
    failed = (await events_until(client, *ENDINGS))[-1]
    assert isinstance(failed, ev.RunFailed)
    assert words in failed.message
    assert "Traceback" in failed.details
    await client.ask(Enqueue(request()))
    assert isinstance((await events_until(client, *ENDINGS))[-1], ev.RunFinished)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (GenerationRequest(prompt=" "), "prompt is empty"),
        (GenerationRequest(prompt="x", width=100), "multiple of 16"),
        (GenerationRequest(prompt="x" * 100_000), "100,000 characters; 10,000 are the most"),
        (GenerationRequest(prompt="x", negative_prompt="x" * 10_001), "10,001 characters"),
    ],
)
async def test_a_request_that_can_not_be_is_refused_with_a_sentence(
    home: Home, bad: GenerationRequest, words: str
) -> None:
    client = await home.attach()
    with pytest.raises(WorkerError, match=words):
        await client.ask(Enqueue(bad))
    await client.ask(Ping())


async def test_the_longest_prompts_reach_the_worker(home: Home) -> None:
    client = await home.attach()
    longest = "\N{FOX FACE}" * MAX_PROMPT
    asked = GenerationRequest(prompt=longest, prompt_template=longest, negative_prompt=longest)
    run = (await client.ask(Enqueue(asked))).run
    assert isinstance((await events_until(client, *ENDINGS, run=run))[-1], ev.RunFinished)


async def test_two_screens_see_the_same(home: Home) -> None:
    one, other = await home.attach(), await home.attach()
    run = (await one.ask(Enqueue(request()))).run
    heard_by_one, heard_by_other = await asyncio.gather(
        *(events_until(client, ev.RunFinished, run=run) for client in (one, other))
    )
    assert of_type(heard_by_one, ev.Event, run) == of_type(heard_by_other, ev.Event, run)


async def test_a_late_comer_sees_the_whole_run(home: Home) -> None:
    client = await home.attach()
    run = (await client.ask(Enqueue(request("steps=12 pause=0.1")))).run
    waiting = (await client.ask(Enqueue(request()))).run
    early = await events_until(client, ev.MemorySampled, run=run)
    while len(of_type(early, ev.Preview)) < 6:
        early += await events_until(client, ev.Preview)
    late = await home.attach(start=False)
    (record,) = late.snapshot.runs
    assert [(item["id"], item["state"]) for item in late.snapshot.queue] == [(run, "running"), (waiting, "queued")]
    assert of_type(record.events, ev.MemorySampled)
    assert of_type(record.events, ev.Preview)[0].png
    rest_of_early, rest_of_late = await asyncio.gather(
        *(events_until(watcher, ev.RunFinished, run=run) for watcher in (client, late))
    )
    assert shown(run, [*record.events, *rest_of_late]) == shown(run, [*early, *rest_of_early])


def shown(run: str, events: list[ev.Event]) -> RunProgress:
    """What a screen makes of these events."""
    progress = RunProgress(run=run)
    for event in events:
        progress.apply(event)
    return progress


async def test_a_run_that_ended_is_shown_whole_to_who_comes_later(home: Home) -> None:
    client = await home.attach()
    for script in ("a fox", "steps=6 pause=0.1"):
        await client.ask(Enqueue(request(script)))
    heard = await events_until(client, ev.RunFinished) + await events_until(client, ev.RunFinished)
    late = await home.attach(start=False)
    older, newest = late.snapshot.runs
    assert of_type(newest.events, ev.MemorySampled) == of_type(heard, ev.MemorySampled, newest.run)
    assert of_type(older.events, ev.MemorySampled) == []
    assert isinstance(older.events[-1], ev.RunFinished)


async def test_a_closed_screen_leaves_the_run_going(home: Home) -> None:
    client = await home.attach()
    run = (await client.ask(Enqueue(request("steps=20")))).run
    await events_until(client, ev.StepFinished)
    await client.close()
    again = await home.attach(start=False)
    assert again.pid == client.pid
    assert [event.run for event in await events_until(again, ev.RunFinished)][-1] == run


async def test_events_end_when_the_screen_closes(home: Home) -> None:
    client = await home.attach()
    asyncio.get_running_loop().call_later(0.05, lambda: asyncio.ensure_future(client.close()))
    async with asyncio.timeout(10):
        assert all([isinstance(event, ev.Event) async for event in client.events()])


async def test_who_does_not_watch_gets_answers_only(home: Home) -> None:
    client, watcher = await home.attach(watch=False), await home.attach()
    await client.ask(Enqueue(request()))
    await events_until(watcher, ev.RunFinished)
    await client.ask(Ping())
    await client.close()
    assert [event async for event in client.events()] == []


async def test_stopping_when_idle_lets_the_queue_run_out(home: Home) -> None:
    client = await home.attach()
    runs = [(await client.ask(Enqueue(request()))).run for _ in range(2)]
    await client.ask(Quit())
    heard, lost = await heard_until_lost(client)
    assert isinstance(lost, WorkerLeft)
    assert "asked to" in lost.reason
    assert [event.run for event in of_type(heard, ev.RunFinished)] == runs
    assert not home.socket.exists()


async def test_stopping_now_keeps_what_waits(home: Home) -> None:
    client = await home.attach()
    first = (await client.ask(Enqueue(request("steps=1000")))).run
    second = (await client.ask(Enqueue(request()))).run
    await events_until(client, ev.StepFinished)
    await client.ask(Quit(now=True))
    heard, lost = await heard_until_lost(client)
    assert isinstance(lost, WorkerLeft)
    assert of_type(heard, ev.RunFailed, first)
    assert not of_type(heard, ev.RunStarted, second)
    client = await home.attach()
    assert [offer["id"] for offer in client.snapshot.unfinished] == [first]
    await client.ask(Quit())  # once idle: what waited has run by then
    heard, _ = await heard_until_lost(client)
    told = [*client.snapshot.runs[-1].events, *heard]
    assert [event.run for event in of_type(told, ev.RunFinished)] == [second]


async def test_an_idle_worker_frees_the_model_and_leaves_when_nobody_watches(home: Home) -> None:
    client = await home.attach("--idle-timeout", "1")
    await client.ask(Enqueue(request()))
    await events_until(client, ev.RunFinished)
    assert (await next_event(client, ev.Logged)).message == "The model was freed: no run for a while."
    await eventually(lambda: client.worker.model == "")
    await asyncio.sleep(1.5)
    await client.ask(Ping())  # somebody watches: it stays
    await client.close()
    await eventually(lambda: not home.socket.exists())


async def test_a_request_with_a_relative_path_means_the_screens_folder(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await home.attach()
    (home.folder / "models" / "mine" / "vae").mkdir(parents=True)
    monkeypatch.chdir(home.folder)
    for model in ("models/mine", "./models/mine"):
        await client.ask(Enqueue(GenerationRequest(prompt="x", model=model, vae=f"{model}/vae", output="fox.png")))
        started = await next_event(client, ev.RunStarted)
        assert started.request["model"] == str(home.folder / "models/mine")
        assert started.request["vae"] == str(home.folder / "models/mine/vae")
        assert started.request["output"] == str(home.folder / "fox.png")


async def test_the_log_tells_of_the_start(home: Home) -> None:
    client = await home.attach()
    assert f"worker {client.pid} started" in (state_dir() / "worker.log").read_text()


async def test_a_run_that_fails_before_it_begins_says_what_was_asked(home: Home) -> None:
    client = await home.attach()
    run = (await client.ask(Enqueue(request("refuse")))).run
    failed = (await events_until(client, ev.RunFailed))[-1]
    assert isinstance(failed, ev.RunFailed)
    assert (failed.run, failed.request["prompt"]) == (run, "refuse")
    again = (await client.ask(Enqueue(request("fail")))).run
    failed = (await events_until(client, ev.RunFailed))[-1]
    assert isinstance(failed, ev.RunFailed)
    assert (failed.run, failed.request) == (again, {})
