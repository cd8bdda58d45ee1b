"""Reading ahead: the right tensors in the right order, never more than two groups held, errors and stops heard."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from flux2.backend.mlx import mx
from flux2.checkpoint import safetensors_file
from flux2.checkpoint.safetensors_file import TensorInfo, read_header, read_rows
from flux2.checkpoint.streaming import stream
from flux2.errors import CheckpointError
from tests.unit.checkpoints import sparse_safetensors

MIB = 2**20


def test_hands_over_each_group_in_order(tmp_path: Path) -> None:
    arrays = {f"{index}": np.full((3, 5), index, dtype=np.float32) for index in range(7)}
    save_file(arrays, tmp_path / "a.safetensors")
    header = read_header(tmp_path / "a.safetensors")
    names = [["0", "1"], ["2"], ["5", "4", "3"], ["6"]]
    seen: dict[int, list[float]] = {}

    def use(number: int, tensors: list[mx.array]) -> None:
        seen[number] = [tensor[0, 0].item() for tensor in tensors]

    stream([[header[name] for name in group] for group in names], use)
    assert seen == {0: [0, 1], 1: [2], 2: [5, 4, 3], 3: [6]}


def big_groups(tmp_path: Path, count: int) -> list[list[TensorInfo]]:
    sparse_safetensors(tmp_path / "a.safetensors", {f"{index}": (1024, 4096) for index in range(count)})
    header = read_header(tmp_path / "a.safetensors")
    return [[header[f"{index}"]] for index in range(count)]


def test_never_holds_a_third_group(tmp_path: Path) -> None:
    groups = big_groups(tmp_path, 6)
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    stream(groups, lambda _, tensors: mx.eval(tensors))
    assert mx.get_peak_memory() - before <= 2 * 8 * MIB + 65536
    assert mx.get_active_memory() - before <= 65536


def test_reads_the_next_group_while_this_one_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Using group 0 waits for group 1 to be read: it would wait for ever if reading waited for it to be used."""
    second_read = threading.Event()
    fill = safetensors_file.TensorBuffer.fill

    def told(buffer: safetensors_file.TensorBuffer, on_bytes: safetensors_file.OnBytes | None = None) -> None:
        fill(buffer, on_bytes)
        if buffer._info.name == "1":
            second_read.set()

    monkeypatch.setattr(safetensors_file.TensorBuffer, "fill", told)
    waited: list[bool] = []
    stream(big_groups(tmp_path, 3), lambda *_: waited.append(second_read.wait(timeout=60)))
    assert waited == [True, True, True]


def test_what_the_user_raises_stops_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outlasted: list[str] = []

    def read_slowly(buffer: safetensors_file.TensorBuffer, on_bytes: safetensors_file.OnBytes | None = None) -> None:
        assert on_bytes
        if buffer._info.name == "1":
            until = time.monotonic() + 5
            while time.monotonic() < until:
                on_bytes(0)
                time.sleep(0.001)
            outlasted.append(buffer._info.name)

    def use(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(safetensors_file.TensorBuffer, "fill", read_slowly)
    with pytest.raises(KeyboardInterrupt):
        stream(big_groups(tmp_path, 3), use)
    assert not outlasted


def test_a_file_that_shrank_is_an_error(tmp_path: Path) -> None:
    groups = big_groups(tmp_path, 3)
    with (tmp_path / "a.safetensors").open("r+b") as file:
        file.truncate(groups[2][0].offset + 100)
    used: list[int] = []
    with pytest.raises(CheckpointError, match="ends inside tensor 2"):
        stream(groups, lambda _, tensors: used.append(len(tensors)))
    assert used == [1, 1]


def test_nothing_to_stream() -> None:
    stream([], lambda *_: pytest.fail("there is nothing to use"))


@pytest.mark.parametrize("rows", [[3], [0, 7, 3, 3, 0], [[1, 2], [2, 7]]])
def test_rows_are_those_of_the_whole_table(tmp_path: Path, rows: list[int]) -> None:
    table = mx.random.normal((8, 6)).astype(mx.bfloat16)
    mx.save_safetensors(str(tmp_path / "a.safetensors"), {"other": mx.zeros((5,)), "table": table})
    info = read_header(tmp_path / "a.safetensors")["table"]
    found = read_rows(info, np.array(rows))
    assert mx.array_equal(found, table[mx.array(rows)])


def test_rows_cost_only_themselves(tmp_path: Path) -> None:
    sparse_safetensors(tmp_path / "a.safetensors", {"table": (150_000, 2560)})
    info = read_header(tmp_path / "a.safetensors")["table"]
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    mx.eval(read_rows(info, np.arange(512) * 7))
    assert mx.get_peak_memory() - before <= 3 * 512 * 2560 * 2


@pytest.mark.parametrize("row", [-1, 8])
def test_a_row_outside_the_table_is_an_error(tmp_path: Path, row: int) -> None:
    sparse_safetensors(tmp_path / "a.safetensors", {"table": (8, 6)})
    with pytest.raises(IndexError, match="rows 0 to 7"):
        read_rows(read_header(tmp_path / "a.safetensors")["table"], np.array([0, row]))
