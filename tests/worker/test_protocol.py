from __future__ import annotations

import contextlib
import json
import struct
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux2 import events as ev
from flux2.inputs.checks import MAX_PROMPT
from flux2.request import GenerationRequest
from flux2.worker.protocol import (
    TO_CLIENT,
    TO_WORKER,
    Ask,
    Decoder,
    Goodbye,
    Happened,
    Hello,
    Limits,
    Message,
    ProtocolError,
    Reply,
    RunRecord,
    Snapshot,
    WorkerInfo,
    encode,
)
from flux2.worker.waiting import MAX_QUEUED

MEMORY = ev.Memory(active=1, peak=2, cache=3)
INFO = WorkerInfo(pid=1, version="1.0", started=2.5, log="/log")
EVENTS: tuple[ev.Event, ...] = (
    ev.RunStarted(run="r", request={"prompt": "Füchse \udcff 狐"}, phases=("encode", "save")),
    ev.MemorySampled(run="r", phase="encode", memory=MEMORY),
    ev.Preview(run="r", step=1, steps=4, width=2, height=2, png=b"\x89PNG\0\xff"),
    ev.StepFinished(run="r", step=1, steps=4, sigma=0.5, seconds=1.5, memory=MEMORY),
)
MESSAGES: tuple[Message, ...] = (
    Hello(protocol=1, version="0.1", pid=7),
    INFO,
    Snapshot(
        worker=INFO,
        queue=({"id": "r", "state": "running", "request": {}},),
        runs=(RunRecord(run="q", events=EVENTS[:2]), RunRecord(run="r", events=EVENTS)),
        log=(ev.Logged(level="info", message="hello"),),
    ),
    *(Happened(event=event) for event in EVENTS),
    Ask(id=1, name="cancel", arguments={"run": "", "force": True}),
    Reply(id=1, error="No."),
    Goodbye(reason="idle"),
)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_what_is_encoded_is_decoded(message: Message) -> None:
    assert list(Decoder().feed(encode(message))) == [message]


@given(st.lists(st.sampled_from(MESSAGES), max_size=5), st.lists(st.integers(1, 400), max_size=30))
def test_messages_survive_any_cut_of_the_stream(messages: list[Message], cuts: list[int]) -> None:
    stream, decoder, heard = b"".join(map(encode, messages)), Decoder(), list[Message]()
    for cut in cuts:
        heard += decoder.feed(stream[:cut])
        stream = stream[cut:]
    heard += decoder.feed(stream)
    assert heard == messages
    assert not decoder.mid_frame


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_garbage_is_refused_and_nothing_else(chunks: list[bytes]) -> None:
    decoder = Decoder(TO_WORKER)
    try:
        for chunk in chunks:
            list(decoder.feed(chunk))
    except ProtocolError as error:
        assert str(error).endswith(".")


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    "worker",
    "queue",
    "runs",
    "log",
    "data",
    "id",
    "name",
    "arguments",
    "protocol",
    "version",
    "pid",
    "event",
    "time",
)


@given(
    st.sampled_from(("hello", "worker", "snapshot", "event", "command", "reply", "goodbye")),
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=8),
)
def test_malformed_messages_are_refused_and_nothing_else(kind: str, fields: dict[str, Any]) -> None:
    try:
        messages = list(Decoder().feed(frame(json.dumps({"type": kind, **fields}).encode())))
    except ProtocolError as error:
        assert kind in str(error) or "command" in str(error)
    else:
        assert len(messages) == 1


@given(st.integers(0, len(MESSAGES) - 1), st.integers(8, 2000), st.integers(0, 255))
def test_a_flipped_byte_is_refused_or_still_a_message(which: int, place: int, value: int) -> None:
    damaged = bytearray(encode(MESSAGES[which]))
    damaged[min(place, len(damaged) - 1)] = value
    with contextlib.suppress(ProtocolError):
        assert len(list(Decoder().feed(bytes(damaged)))) == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (struct.pack(">II", TO_WORKER.json + 1, 0), "out of bounds"),
        (struct.pack(">II", 0, 0), "out of bounds"),
        (struct.pack(">II", 2, 1), "attachment"),
        (b"GET / HTTP/1.1\r\n", "out of bounds"),
        (struct.pack(">II", 2, 0) + b"[]", "no known type"),
        (struct.pack(">II", 2, 0) + b"\xff\xff", "not JSON"),
        (struct.pack(">II", 60000, 0) + b"[" * 60000, "not JSON"),
    ],
)
def test_a_refusal_says_why(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        list(Decoder(TO_WORKER).feed(data))


def test_a_length_is_refused_before_its_bytes_are_waited_for() -> None:
    with pytest.raises(ProtocolError):
        list(Decoder(TO_WORKER).feed(struct.pack(">II", 2**32 - 1, 0)))


def test_the_sender_is_told_what_the_other_side_would_refuse() -> None:
    message = Ask(id=1, name="enqueue", arguments={"request": {"prompt": "x" * TO_WORKER.json}})
    with pytest.raises(ProtocolError, match="out of bounds"):
        encode(message, TO_WORKER)
    with pytest.raises(ProtocolError, match="attachment"):
        encode(Happened(event=EVENTS[2]), Limits(json=TO_CLIENT.json, blob=3))


@pytest.mark.parametrize(
    "data",
    [
        {"type": "command", "id": 1, "name": 3},
        {"type": "command", "id": "1", "name": "ping"},
        {"type": "command", "id": 1, "name": "ping", "arguments": []},
        {"type": "hello", "protocol": "1", "version": "", "pid": 1},
        {"type": "hello", "version": "", "pid": 1},
    ],
)
def test_commands_and_hellos_are_checked(data: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        list(Decoder().feed(frame(json.dumps(data).encode())))


def test_a_full_queue_of_the_longest_prompts_can_be_told() -> None:
    longest = "🦊" * MAX_PROMPT  # each a pair of surrogates in JSON
    request = GenerationRequest(prompt=longest, prompt_template=longest, negative_prompt=longest)
    told = json.loads(json.dumps(request.to_dict()))  # whose tuples are lists then
    queue = [{"id": "20260101-000000-aaaaaa", "state": "queued", "request": told}] * (MAX_QUEUED + 1)
    snapshot = Snapshot(worker=INFO, queue=tuple(queue))
    assert list(Decoder().feed(encode(snapshot))) == [snapshot]


def test_fields_of_later_versions_are_passed_over() -> None:
    data = {"type": "hello", "protocol": 1, "version": "9", "pid": 1, "colour": "red"}
    assert list(Decoder().feed(frame(json.dumps(data).encode()))) == [Hello(protocol=1, version="9", pid=1)]


def test_the_newest_runs_picture_travels_with_the_snapshot_and_no_other() -> None:
    older = RunRecord(run="q", events=(ev.Preview(run="q", step=1, steps=1, width=1, height=1, png=b"old"),))
    newer = RunRecord(run="r", events=EVENTS)
    (snapshot,) = Decoder().feed(encode(Snapshot(worker=INFO, runs=(older, newer))))
    assert isinstance(snapshot, Snapshot)
    assert snapshot.runs[1] == newer
    assert isinstance(preview := snapshot.runs[0].events[0], ev.Preview)
    assert preview.png == b""


def test_the_screens_side_never_imports_mlx() -> None:
    program = """
import sys
import flux2.worker.client, flux2.worker.protocol, flux2.worker.control
print([name for name in ("mlx", "numpy", "transformers", "textual", "PIL") if name in sys.modules])
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def frame(text: bytes, blob: bytes = b"") -> bytes:
    return struct.pack(">II", len(text), len(blob)) + text + blob
