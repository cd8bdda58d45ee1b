"""Files from anywhere: whatever is in them is read, or refused in a sentence; nothing else happens."""

from __future__ import annotations

import io
import json
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from safetensors.numpy import save

from flux2 import events as ev
from flux2.checkpoint.safetensors_file import read_header, read_metadata, read_tensor
from flux2.denoise.resume import RunState
from flux2.errors import CheckpointError, Flux2Error
from flux2.inputs.wildcards import count, resolve
from flux2.pictures.embedded_texts import read_embedded_texts
from flux2.pictures.foreign.reading import read_settings_of
from flux2.pictures.image_metadata import ImageMetadata
from flux2.pictures.images import read_metadata as read_picture_metadata
from flux2.pictures.images import read_pixels, text_chunks
from flux2.progress import RunProgress
from flux2.request import GenerationRequest
from flux2.settings import Settings, read_settings
from flux2.settings import _read as read_cached
from flux2.store.configs import find_networks
from flux2.worker.journal import Journal
from flux2.worker.recovery import recover
from tests.fuzz.strategies import JSON, mutated

FOLDER = Path(tempfile.mkdtemp(dir=Path.home()))  # pytest's own


def read_or_refused(read: Callable[[Path], Any], name: str, content: bytes, error: type[Exception]) -> Any:
    path = FOLDER / name
    path.write_bytes(content)
    try:
        return read(path)
    except error as refusal:
        assert str(path.name) in str(refusal) or str(path.parent) in str(refusal)
        return None


# --- safetensors ------------------------------------------------------------------------------------------------------

TENSORS = save({"a.weight": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float16)}, {"format": "pt"})
_ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "BF16", "U8", "F8_E4M3", "nonsense"]) | JSON,
        "shape": st.lists(st.integers(-2, 2**40), max_size=3) | JSON,
        "data_offsets": st.lists(st.integers(-2, 2**70), max_size=3) | JSON,
    },
)


def read_all(path: Path) -> None:
    for info in read_header(path).values():
        assert read_tensor(info).shape == info.shape
    read_metadata(path)


@given(st.binary(max_size=300) | mutated(TENSORS))
def test_safetensors_bytes(content: bytes) -> None:
    read_or_refused(read_all, "model.safetensors", content, CheckpointError)


@given(st.dictionaries(st.text(max_size=8), _ENTRY | JSON, max_size=4), st.binary(max_size=64))
def test_safetensors_headers(header: dict[str, Any], data: bytes) -> None:
    raw = json.dumps(header).encode()
    content = len(raw).to_bytes(8, "little") + raw + data
    read_or_refused(read_all, "model.safetensors", content, CheckpointError)


# --- resuming ---------------------------------------------------------------------------------------------------------

STATE = save({"latents": np.ones((1, 4, 2, 2), np.float32)}, {"identity": "x", "step": "3", "digest": "0" * 64})


@given(st.binary(max_size=300) | mutated(STATE))
def test_resume_files(content: bytes) -> None:
    path = FOLDER / "latents.safetensors"
    path.write_bytes(content)
    try:
        assert RunState(path, "x").load() is None
    except CheckpointError as error:
        assert error.args[0]


# --- configs ----------------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.sampled_from(["_class_name", "is_distilled", "transformer", "vae", "x"]), JSON) | JSON)
def test_model_indexes(content: Any) -> None:
    folder = FOLDER / "model"
    folder.mkdir(exist_ok=True)
    (folder / "model_index.json").write_text(json.dumps(content))
    try:
        find_networks(str(folder))
    except Flux2Error as error:
        assert error.args[0]


# --- settings ---------------------------------------------------------------------------------------------------------

SETTINGS = b'theme = "dark"\noutput_name = "{prompt}-{seed}"\nquantization = "int4"\n[keys]\ncancel = "x"\n'


@given(
    st.binary(max_size=200)
    | mutated(SETTINGS)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
)
def test_settings(content: bytes) -> None:
    path = FOLDER / "settings.toml"
    path.write_bytes(content)
    read_cached.cache_clear()  # two writes may fall into one tick of the file system's clock
    for name, value in asdict(read_settings(path).settings).items():
        assert type(value) is type(getattr(Settings(), name))


# --- pictures ---------------------------------------------------------------------------------------------------------


def png(chunks: PngImagePlugin.PngInfo | None = None) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG", pnginfo=chunks)
    return file.getvalue()


OURS = png(text_chunks(ImageMetadata(request=GenerationRequest(prompt="a fox", width=64, height=64, seed=1))))


def read_picture(path: Path) -> None:
    for read in (read_embedded_texts, read_pixels, read_picture_metadata, read_settings_of):
        try:
            read(path)
        except Flux2Error as error:
            assert str(path) in str(error)


@given(st.binary(max_size=300) | mutated(OURS))
def test_pictures(content: bytes) -> None:
    path = FOLDER / "picture.png"
    path.write_bytes(content)
    read_picture(path)


def with_right_checksums(content: bytes) -> bytes:
    """Content with each chunk's checksum made right, so that what is in them is read at all."""
    out, place = content[:8], 8
    while place + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        body = content[place + 4 : place + 8 + length]
        out += content[place : place + 4] + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + length
    return out


@given(mutated(OURS))
def test_pictures_whose_checksums_fit(content: bytes) -> None:
    (FOLDER / "picture.png").write_bytes(with_right_checksums(content))
    read_picture(FOLDER / "picture.png")


# --- prompts ----------------------------------------------------------------------------------------------------------


@given(st.text(alphabet="ab{}|\\ ", max_size=60) | st.text(max_size=60), st.integers(0, 2**32 - 1))
def test_wildcards(template: str, seed: int) -> None:
    assert resolve(template, seed) == resolve(template, seed)
    assert count(template) >= 1


# --- the journal ------------------------------------------------------------------------------------------------------

RUN = "20260101-000000-aaaaaa"
_MEMORY = ev.Memory(active=1, peak=2, cache=3)
_STORY = [
    ev.to_wire(event)[0]
    for event in (
        ev.RunStarted(run=RUN, request={"prompt": "a fox", "steps": 4}, phases=("denoise",)),
        ev.PhaseStarted(run=RUN, phase="denoise", memory=_MEMORY),
        ev.StepFinished(run=RUN, step=1, steps=4, sigma=1.0, seconds=0.1, memory=_MEMORY),
        ev.MemorySampled(run=RUN, phase="denoise", memory=_MEMORY),
        ev.RunFailed(run=RUN, message="!"),
    )
]
_EVENT = json.dumps(_STORY[-1]).encode()
_QUEUE = json.dumps({"items": [{"id": RUN, "state": "queued", "request": {"prompt": "a fox"}}], "held": False}).encode()
_OFFER = json.dumps(
    {"id": RUN, "request": {"prompt": "a fox"}, "reason": "", "step": 1, "steps": 2, "picture": ""}
).encode()
_ANY = st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode())


def _with_another_value(event: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(st.sampled_from([name for name in event if name != "event"]), JSON).map(
        lambda change: {**event, change[0]: change[1]}
    )


_STORIES = st.tuples(*(st.just(event) | _with_another_value(event) for event in _STORY)).map(
    lambda events: b"\n".join(json.dumps(event).encode() for event in events)
)


@given(_ANY | mutated(_QUEUE), _ANY | mutated(_EVENT + b"\n" + _EVENT) | _STORIES, _ANY | mutated(_OFFER))
def test_the_journal(queue: bytes, events: bytes, offer: bytes) -> None:
    state = FOLDER / "state"
    (state / "runs" / RUN).mkdir(parents=True, exist_ok=True)
    (state / "queue.json").write_bytes(queue)
    (state / "runs" / RUN / "events.jsonl").write_bytes(events)
    (state / "runs" / RUN / "unfinished.json").write_bytes(offer)
    found = recover(Journal(state), 10)
    told = [item.run for item in (*found.runs, *found.queue)]
    assert told.count(RUN) == 1  # it waits where nothing was said of it yet
    assert len(told) <= 2  # a request whose id is damaged is another one, which is not thrown away
    progress = RunProgress(run=RUN)
    for event in found.runs[0].events if found.runs else ():
        progress.apply(event)
    progress.eta(0.0)
    for aside in (*state.glob("queue.damaged-*"), *(state / "runs" / RUN).glob("unfinished.damaged-*")):
        aside.unlink()
