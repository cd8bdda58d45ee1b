"""A safetensors file is believed only where header and file agree, and read completely or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from flux2.backend.mlx import mx
from flux2.checkpoint import safetensors_file
from flux2.checkpoint.safetensors_file import read_header, read_tensor
from flux2.errors import CheckpointError
from tests.unit.checkpoints import sparse_safetensors, write_raw

FOUR_FLOATS = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


def test_reads_what_the_safetensors_library_wrote(tmp_path: Path) -> None:
    arrays = {
        "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
        "half": np.linspace(-3, 3, 8, dtype=np.float16),
        "scalar": np.array(7, dtype=np.int64),
        "empty": np.zeros((0, 4), dtype=np.float32),
    }
    save_file(arrays, tmp_path / "a.safetensors", metadata={"format": "pt"})
    header = read_header(tmp_path / "a.safetensors")
    assert header.keys() == arrays.keys()
    for name, expected in arrays.items():
        found = read_tensor(header[name])
        assert found.shape == expected.shape
        np.testing.assert_array_equal(np.array(found), expected)


def test_reads_bfloat16_exactly(tmp_path: Path) -> None:
    values = mx.random.normal((33, 7)).astype(mx.bfloat16)
    mx.save_safetensors(str(tmp_path / "a.safetensors"), {"x": values})
    found = read_tensor(read_header(tmp_path / "a.safetensors")["x"])
    assert found.dtype == mx.bfloat16
    assert mx.array_equal(found, values)


def test_holds_no_second_copy(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    sparse_safetensors(path, {"x": (4096, 4096)})
    info = read_header(path)["x"]
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    tensor = read_tensor(info)
    mx.eval(tensor)
    assert mx.get_active_memory() - before == info.nbytes
    assert mx.get_peak_memory() - before <= info.nbytes + 4096


@pytest.mark.parametrize(
    ("header", "data", "complaint"),
    [
        ({"x": FOUR_FLOATS}, b"\0" * 15, "is cut short: .* bytes where its header says"),
        ({"x": FOUR_FLOATS}, b"\0" * 17, "has bytes left over"),
        ({"x": FOUR_FLOATS | {"shape": [2, 3]}}, b"\0" * 16, r"x is F32 \[2, 3\] = 24 bytes, but its offsets span 16"),
        ({"x": FOUR_FLOATS | {"dtype": "F16"}}, b"\0" * 16, "but its offsets span 16"),
        ({"x": FOUR_FLOATS | {"dtype": "Q3"}}, b"\0" * 16, "unknown type Q3"),
        ({"x": FOUR_FLOATS | {"shape": [-2, -2]}}, b"\0" * 16, "not a whole number"),
        ({"x": FOUR_FLOATS | {"shape": [2, True]}}, b"\0" * 16, "not a whole number"),
        ({"x": FOUR_FLOATS | {"shape": [2.0, 2]}}, b"\0" * 16, "not a whole number"),
        ({"x": FOUR_FLOATS | {"data_offsets": [16, 0]}}, b"\0" * 16, "its offsets span -16"),
        ({"x": FOUR_FLOATS, "y": FOUR_FLOATS}, b"\0" * 16, "tensor y overlaps another one"),
        ({"x": FOUR_FLOATS | {"data_offsets": [4, 20]}}, b"\0" * 20, "tensor x overlaps another one or leaves a gap"),
        ({"x": {"dtype": "F32", "shape": [2, 2]}}, b"\0" * 16, "'data_offsets' is missing"),
        ({"x": [1, 2]}, b"\0" * 16, "damaged header"),
        (f'{{"x": {json.dumps(FOUR_FLOATS)}, "x": {json.dumps(FOUR_FLOATS)}}}', b"\0" * 16, "lists a name twice"),
        ("[1, 2]", b"", "damaged header"),
        ("{no json", b"", "damaged header"),
        ('{"x": "\udcff"}', b"", "damaged header"),
    ],
)
def test_refuses_a_header_that_does_not_fit(
    tmp_path: Path, header: dict[str, object] | str, data: bytes, complaint: str
) -> None:
    path = tmp_path / "bad.safetensors"
    raw = (header if isinstance(header, str) else json.dumps(header)).encode("utf-8", "surrogateescape")
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)
    with pytest.raises(CheckpointError, match=complaint) as caught:
        read_header(path)
    assert str(path) in str(caught.value)
    assert "download it again" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\1\0", b"\xff" * 8, (10**9).to_bytes(8, "little") + b"{}", b"\0" * 100])
def test_refuses_what_is_no_safetensors_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a safetensors file or is cut short"):
        read_header(path)


def test_says_where_a_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.safetensors is missing; put it there"):
        read_header(tmp_path / "none.safetensors")


def test_notices_a_file_that_shrank_after_its_header_was_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_raw(path, {"x": FOUR_FLOATS}, b"\0" * 16)
    info = read_header(path)["x"]
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    with pytest.raises(CheckpointError, match="ends inside tensor x"):
        read_tensor(info)


def test_notices_a_failing_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_raw(path, {"x": FOUR_FLOATS}, b"\0" * 16)
    info = read_header(path)["x"]
    path.unlink()
    path.mkdir()  # what can be named but not read
    with pytest.raises(CheckpointError, match="reading tensor x failed"):
        read_tensor(info)


def test_refuses_a_type_that_mlx_lacks(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_raw(path, {"x": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}, b"\0" * 4)
    with pytest.raises(CheckpointError, match="F8_E4M3, which MLX can't compute with"):
        read_tensor(read_header(path)["x"])


def test_tells_of_bytes_and_lets_the_listener_stop_it(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    sparse_safetensors(path, {"x": (10, 1024, 1024)}, "F16")  # 20 MiB: five pieces
    info = read_header(path)["x"]
    told: list[int] = []
    read_tensor(info, told.append)
    assert sum(told) == info.nbytes
    assert len(told) == 5

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    before = mx.get_active_memory()
    with pytest.raises(KeyboardInterrupt):
        read_tensor(info, stop)
    assert mx.get_active_memory() <= before + 4096


def test_large_tensors_are_read_by_several_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors_file, "PIECE", 1000)
    array = np.random.default_rng(0).standard_normal((37, 101)).astype(np.float32)
    save_file({"before": np.ones(3, np.float32), "large": array}, tmp_path / "a.safetensors")
    info = read_header(tmp_path / "a.safetensors")["large"]
    told: list[int] = []
    assert np.array_equal(np.array(read_tensor(info, told.append)), array)
    assert sum(told) == array.nbytes

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_tensor(info, stop)
    os.truncate(info.path, info.offset + 6000)
    with pytest.raises(CheckpointError, match="ends inside tensor large"):
        read_tensor(info)
    info.path.unlink()
    with pytest.raises(CheckpointError, match="reading tensor large failed"):
        read_tensor(info)


def test_what_the_listener_raises_is_not_the_disks(tmp_path: Path) -> None:
    save_file({"a": np.ones(3, np.float32)}, tmp_path / "a.safetensors")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        read_tensor(read_header(tmp_path / "a.safetensors")["a"], full)
