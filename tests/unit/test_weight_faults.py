"""Weights that are not what they should be: one sentence that names the file, and no garbage picture."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from flux2.backend.memory import read as read_memory
from flux2.checkpoint.safetensors_file import read_header
from flux2.errors import CheckpointError, Flux2Error, NumericalError
from flux2.generate import Generator
from flux2.paths import pocket_checkpoint
from flux2.request import GenerationRequest

FILES = {
    "transformer": "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
    "text_encoder": "text_encoder/model.safetensors",
    "vae": "vae/diffusion_pytorch_model.safetensors",
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(pocket_checkpoint(), tmp_path_factory.mktemp("weights") / "model"))


@pytest.fixture
def folder(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A model whose files a test may damage; those, and no other of its 32 MB, are copied anew afterwards."""
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    before = _stamps(copy.parent)
    yield copy
    for path in {file for file, _ in before.items() ^ _stamps(copy.parent).items()}:
        path.unlink(missing_ok=True)
        if path in before:
            shutil.copy2(pocket_checkpoint() / path.relative_to(copy), path)


def _stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    """What any change of a file changes, too."""
    files = [(path, path.stat()) for path in folder.rglob("*") if path.is_file()]
    return {path: (stat.st_ino, stat.st_ctime_ns) for path, stat in files}


def make(folder: Path) -> Path:
    """A picture of this model."""
    request = GenerationRequest(
        prompt="a red fox", model=str(folder), width=64, height=64, steps=1, seed=1, output=str(folder.parent / "a.png")
    )
    return Path(Generator().generate(request).path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def cut_in_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


def extend(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0" * 16)


def flip_header_length(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[1] ^= 0x10
    path.write_bytes(data)


def replace_by_html(path: Path) -> None:
    path.write_text("<html>429 Too Many Requests</html>" * 1000)


def reshape(path: Path) -> None:
    """The largest tensor gets its axes in another order."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    entries = [entry for name, entry in header.items() if name != "__metadata__" and len(set(entry["shape"])) > 1]
    largest = max(entries, key=lambda entry: entry["data_offsets"][1] - entry["data_offsets"][0])
    largest["shape"] = largest["shape"][::-1]
    raw = json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data[8 + length :])


def leave_a_hole(path: Path) -> None:
    """Leave what a downloader leaves that reserved the room of all and was broken off half-way."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with path.open("r+b") as file:
        file.truncate(len(data))


@pytest.mark.parametrize("part", FILES)
@pytest.mark.parametrize(
    "damage",
    [cut, cut_in_header, empty, remove, extend, flip_header_length, replace_by_html, reshape, leave_a_hole],
    ids=lambda damage: damage.__name__,
)
def test_one_sentence_names_the_file_before_memory_is_spent(
    folder: Path, part: str, damage: Callable[[Path], None]
) -> None:
    damage(folder / FILES[part])
    before = read_memory().active
    with pytest.raises(CheckpointError) as caught:
        make(folder)
    assert str(folder / part) in str(caught.value)
    assert str(caught.value).count(". ") == 0
    assert read_memory().active - before < 1 << 20
    assert not list(folder.parent.glob("*.png"))


@pytest.mark.parametrize("part", FILES)
def test_swapped_files_are_noticed(folder: Path, part: str) -> None:
    other = "vae" if part != "vae" else "text_encoder"
    shutil.copy(folder / FILES[other], folder / FILES[part])
    with pytest.raises(CheckpointError, match=str(folder / part)):
        make(folder)


@pytest.mark.parametrize("seed", range(24))
def test_a_header_with_a_flipped_bit_is_refused_or_harmless(folder: Path, seed: int) -> None:
    """Where it still reads as the same tensors (a bit of the free text beside them) nothing has happened."""
    path = folder / FILES["vae"]
    whole = {name: (info.dtype, info.shape, info.offset) for name, info in read_header(path).items()}
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    where = random.Random(seed).randrange(8 * (8 + length))
    data[where // 8] ^= 1 << where % 8
    path.write_bytes(data)
    try:
        found = {name: (info.dtype, info.shape, info.offset) for name, info in read_header(path).items()}
    except CheckpointError as error:
        assert str(path) in str(error)
        return
    if found != whole:  # another name, or another type of the same size: the network or its config contradicts
        with pytest.raises(Flux2Error, match=str(folder / "vae")):
            make(folder)


@pytest.mark.parametrize("part", FILES)
def test_a_nan_in_the_weights_is_named(folder: Path, part: str) -> None:
    path = folder / FILES[part]
    tensors = read_header(path)
    # One that every picture goes through.
    name = next(name for name, info in tensors.items() if IN_USE[part] in name and info.dtype in ("BF16", "F16", "F32"))
    info = tensors[name]
    data = bytearray(path.read_bytes())
    size = info.nbytes // int(np.prod(info.shape))
    data[info.offset : info.offset + size] = b"\xff" * size
    path.write_bytes(data)
    with pytest.raises(NumericalError) as caught:
        make(folder)
    assert str(caught.value).startswith(f"{path}: tensor {name} holds NaN or infinity; ")
    assert "step 1 of 1" in str(caught.value) or part == "vae"
    assert not list(folder.parent.glob("*.png"))


IN_USE = {"transformer": "norm_q", "text_encoder": "layers.0.input_layernorm", "vae": "decoder.conv_in.weight"}


NONSENSE = ["", "null", "[]", "{", '{"a": ', "\0" * 50, "[" * 100_000, '{"x": 1e999}']


@pytest.mark.parametrize("config", ["model_index.json", "transformer/config.json", "vae/config.json"])
@pytest.mark.parametrize("content", NONSENSE, ids=range(len(NONSENSE)))
def test_a_config_full_of_nonsense_is_named(folder: Path, config: str, content: str) -> None:
    (folder / config).write_text(content)
    with pytest.raises(CheckpointError, match=str(folder / config)):
        make(folder)
