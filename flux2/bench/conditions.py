"""Conditions of a measurement: the machine, the versions and the load, without which figures are worth little."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from flux2 import __version__
from flux2.backend import memory
from flux2.backend.blas import THREAD_VARIABLES
from flux2.backend.mlx import BLAS_COMPLAINT, device_type

_PACKAGES = ("mlx", "mlx-metal", "mlx-cuda-13", "numpy", "transformers", "torch", "diffusers", "mflux")


def read_conditions() -> dict[str, Any]:
    """What a reader needs to judge, or repeat, a measurement; taken before it begins."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "chip": _chip(),
        "device": memory.device_name(),
        "backend": device_type(),
        "fast_blas": BLAS_COMPLAINT is None,
        "cores": psutil.cpu_count(),
        "thread_limits": {name: found for name in THREAD_VARIABLES if (found := os.environ.get(name))},
        "physical_memory": psutil.virtual_memory().total,
        "available_memory": psutil.virtual_memory().available,
        "memory_limit": memory.memory_limit(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "versions": {"flux2-tui": __version__, **{name: found for name in _PACKAGES if (found := _version(name))}},
        "commit": _commit(),
        **read_load(),
    }


def read_load() -> dict[str, Any]:
    """How busy the machine is with others' work, just now."""
    return {
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "gpu_busy_percent": _gpu_busy_percent(),
    }


def _chip() -> str:
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor()
    try:
        names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        names = []
    return names[0] if names else platform.processor()


def _version(package: str) -> str:
    """ "" where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    """The commit measured: what `FLUX2_COMMIT` says, or else the repository's, with a + where files differ from it."""
    if told := os.environ.get("FLUX2_COMMIT"):  # for copies of the tree, which know of no commit or of another one
        return told
    here = str(Path(__file__).parent)
    commit = _output("git", "-C", here, "rev-parse", "--short", "HEAD")
    changed = commit and _output("git", "-C", here, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return f"{commit}+" if changed else commit


def _gpu_busy_percent() -> int | None:
    """How busy the GPU is with others' work: a browser or a screen recorder makes timings several times longer."""
    if sys.platform == "darwin":
        told = _output("ioreg", "-r", "-d", "1", "-w", "0", "-c", "AGXAccelerator")  # whole lines of them
        found = re.search(r'"Device Utilization %"=(\d+)', told)
        return int(found[1]) if found else None
    first, *_ = _output("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits").split() or [""]
    return int(first) if first.isdigit() else None


def _output(*command: str) -> str:
    """What a command prints; "" if it isn't there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
