"""Bytes on the worker's socket, and what a request may hold."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flux2.errors import RequestError, WorkerError
from flux2.folders import pictures_dir
from flux2.pictures.images import default_path, output_path
from flux2.request import GenerationRequest
from flux2.worker.commands import read_command
from flux2.worker.protocol import (
    PROTOCOL,
    TO_WORKER,
    Ask,
    Decoder,
    Hello,
    Snapshot,
    WorkerInfo,
    encode,
)
from tests.fuzz.strategies import JSON, NUMBERS, mutated

REQUEST = GenerationRequest(prompt="a fox")
HELLO = encode(Hello(protocol=PROTOCOL, version="1", pid=1))
ENQUEUE = encode(Ask(id=1, name="enqueue", arguments={"request": REQUEST.to_dict()}))
SNAPSHOT = encode(Snapshot(worker=WorkerInfo(pid=1, version="1", started=0.0, log="")))


@given(mutated(HELLO + ENQUEUE + SNAPSHOT) | st.binary(max_size=200), st.integers(1, 64))
def test_frames(data: bytes, piece: int) -> None:
    decoder = Decoder(TO_WORKER)
    try:
        for start in range(0, len(data), piece):
            for message in decoder.feed(data[start : start + piece]):
                encode(message)
                if isinstance(message, Ask):
                    read_command(message.name, message.arguments)
    except (RequestError, WorkerError) as error:
        assert error.args[0]


FIELDS = list(REQUEST.to_dict())


@given(st.dictionaries(st.sampled_from(FIELDS), NUMBERS | JSON))
def test_requests(data: dict[str, Any]) -> None:
    try:
        request = GenerationRequest.from_dict(data).validated()
    except RequestError as error:
        assert error.args[0]
        return
    assert GenerationRequest.from_dict(request.to_dict()) == request


@given(st.text(max_size=80), st.text(max_size=30), st.integers(0, 2**32 - 1))
def test_a_name_made_of_a_prompt_stays_in_its_folder(prompt: str, model: str, seed: int) -> None:
    request = GenerationRequest(prompt=prompt, model=model, width=64, height=64, steps=1)
    folder = pictures_dir()
    path = default_path(folder, request, seed, "{model}/{prompt}-{seed}-{date}")
    assert path.parent.parent == folder
    assert path.resolve().is_relative_to(folder.resolve())
    assert (path.parent.name + path.name).isprintable()
    assert output_path(None, folder, request, seed).parent == folder
