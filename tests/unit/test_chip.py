"""What is made of `device_info`s as they were recorded on several machines."""

from __future__ import annotations

import pytest

from flux2.backend.chip import Chip, read_chip

RECORDED = {
    "M1": {
        "resource_limit": 499000,
        "max_buffer_length": 8589934592,
        "architecture": "applegpu_g13g",
        "memory_size": 17179869184,
        "max_recommended_working_set_size": 11453251584,
        "device_name": "Apple M1",
    },
    "M3 Ultra": {
        "resource_limit": 499000,
        "max_buffer_length": 167503724544,
        "architecture": "applegpu_g15d",
        "memory_size": 274877906944,
        "max_recommended_working_set_size": 223338299392,
        "device_name": "Apple M3 Ultra",
    },
    "M4 Pro": {
        "resource_limit": 499000,
        "max_buffer_length": 30150672384,
        "architecture": "applegpu_g16s",
        "memory_size": 51539607552,
        "max_recommended_working_set_size": 40200896512,
        "device_name": "Apple M4 Pro",
    },
    "M5 Max": {
        "device_name": "Apple M5 Max",
        "max_recommended_working_set_size": 115448725504,
        "memory_size": 137438953472,
        "architecture": "applegpu_g17s",
        "max_buffer_length": 86586540032,
        "resource_limit": 499000,
    },
    "H200": {
        "total_memory": 150754820096,
        "free_memory": 149557477376,
        "compute_capability_minor": 0,
        "compute_capability_major": 9,
        "pci_bus_id": "0000:00:06.0",
        "architecture": "sm_90",
        "device_name": "NVIDIA H200",
    },
    "EPYC": {"architecture": "x86_64", "device_name": "AMD EPYC"},
}
PHYSICAL = 64 << 30


def _chip(name: str) -> Chip:
    return read_chip(RECORDED[name], on_cpu=name == "EPYC", physical=PHYSICAL)


@pytest.mark.parametrize(
    ("name", "backend", "generation", "limit", "dtype"),
    [
        ("M1", "metal", 1, 11453251584, "bfloat16"),
        ("M3 Ultra", "metal", 3, 223338299392, "bfloat16"),
        ("M4 Pro", "metal", 4, 40200896512, "bfloat16"),
        ("M5 Max", "metal", 5, 115448725504, "bfloat16"),
        ("H200", "cuda", 0, 150754820096, "bfloat16"),
        ("EPYC", "cpu", 0, PHYSICAL, "float32"),
    ],
)
def test_reads_what_was_recorded(name: str, backend: str, generation: int, limit: int, dtype: str) -> None:
    chip = _chip(name)
    assert (chip.backend, chip.generation, chip.memory_limit, chip.dtype) == (backend, generation, limit, dtype)
    assert chip.name == RECORDED[name]["device_name"]


def test_only_the_first_two_generations_emulate_bfloat16() -> None:
    assert [name for name in RECORDED if _chip(name).emulates_bfloat16] == ["M1"]
    assert read_chip({**RECORDED["M1"], "device_name": "Apple M2 Ultra"}, on_cpu=False, physical=0).emulates_bfloat16


def test_memory_is_wired_on_metal_alone_and_where_macos_can() -> None:
    chip = _chip("M4 Pro")
    assert chip.wired_limit(macos=(15, 0)) == chip.memory_limit
    assert chip.wired_limit(macos=(14, 7)) == 0
    assert _chip("H200").wired_limit(macos=(26, 2)) == _chip("EPYC").wired_limit(macos=(26, 2)) == 0


def test_a_device_that_tells_nothing_has_the_machines_memory() -> None:
    chip = read_chip({}, on_cpu=False, physical=PHYSICAL)
    assert (chip.name, chip.memory_limit) == ("unknown device", PHYSICAL)
