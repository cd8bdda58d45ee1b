"""The meter: what is counted, and how macOS tells a process's footprint."""

from __future__ import annotations

import ctypes
import struct

import pytest

from flux2.backend import memory
from flux2.backend.chip import Chip
from flux2.planning import this_machine
from flux2.planning.budget import Budget

RECORDED = struct.pack("<16x10Q", 1, 2, 3, 4, 5, 600 << 20, 700 << 20, 900 << 20, 8, 9)
"""`struct rusage_info_v0` as macOS fills it in: resident 700 MiB, footprint 900 MiB."""


def test_the_footprint_is_read_from_its_place_in_the_systems_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        @staticmethod
        def proc_pid_rusage(_pid: int, flavor: int, info: object) -> int:
            assert flavor == 0
            ctypes.memmove(info, RECORDED, len(RECORDED))
            return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library)
    assert ctypes.sizeof(memory._RusageInfo) == len(RECORDED)
    assert memory._phys_footprint() == 900 << 20


def test_where_the_system_does_not_answer_it_is_the_resident_size(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        @staticmethod
        def proc_pid_rusage(*_: object) -> int:
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library)
    assert memory._phys_footprint() > 1 << 20


def test_a_reading_has_every_figure() -> None:
    reading = memory.read()
    assert reading.footprint > reading.active >= 0
    assert reading.available > 0
    assert reading.peak >= reading.active
    assert reading.swap >= 0


def test_the_budget_is_what_the_user_says_or_else_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLUX2_MEMORY_BUDGET", raising=False)
    assert this_machine.budget().limit == memory.memory_limit()
    monkeypatch.setenv("FLUX2_MEMORY_BUDGET", "3GiB")
    assert this_machine.budget().limit == 3 << 30
    assert isinstance(this_machine.budget(7), Budget)
    assert this_machine.budget(7).limit == 7


@pytest.mark.parametrize(("macos", "wired"), [((15, 0), [40 << 30, 0]), ((14, 7), [])])
def test_arrays_are_wired_on_a_mac_for_as_long_as_the_context_lasts(
    macos: tuple[int, int], wired: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = [0]
    monkeypatch.setattr(memory, "this_chip", lambda: Chip(name="M4 Pro", backend="metal", memory_limit=40 << 30))
    monkeypatch.setattr(memory, "macos_version", lambda: macos)
    monkeypatch.setattr(memory.mx, "set_wired_limit", lambda limit: limits.append(limit) or limits[-2])
    with pytest.raises(RuntimeError, match="of the run"), memory.wired():
        assert limits[1:] == wired[:1]
        raise RuntimeError("of the run")
    assert limits[1:] == wired


def test_nothing_is_wired_where_no_mac_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.mx, "set_wired_limit", lambda _: pytest.fail("a wired limit was set"))
    with memory.wired():
        pass


def test_some_cache_is_always_left(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[int] = []
    monkeypatch.setattr(memory.mx, "set_cache_limit", limits.append)
    memory.limit_cache(-5)
    memory.limit_cache(1 << 30)
    assert limits == [memory.SMALLEST_CACHE, 1 << 30]
