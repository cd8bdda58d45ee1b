"""On what, with what and under which load something was measured: figures without these are worth little."""

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

from flux2 import __version__, memory
from flux2.mlx_backend import BLAS_COMPLAINT, on_cpu

_PACKAGES = ("mlx", "numpy", "transformers")


def read_conditions() -> dict[str, Any]:
    """What a reader needs to judge, or repeat, a measurement; taken before it begins."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "chip": _chip(),
        "device": memory.device_name(),
        "backend": "cpu" if on_cpu() else "gpu",
        "fast_blas": BLAS_COMPLAINT is None,
        "cores": psutil.cpu_count(),
        "physical_memory": psutil.virtual_memory().total,
        "available_memory": psutil.virtual_memory().available,
        "memory_limit": memory.memory_limit(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "versions": {"flux2-tui": __version__, **{name: _version(name) for name in _PACKAGES}},
        "commit": _commit(),
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
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The commit measured, with a + where files differ from it; "" outside a repository."""
    here = str(Path(__file__).parent)
    commit = _output("git", "-C", here, "rev-parse", "--short", "HEAD")
    changed = commit and _output("git", "-C", here, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return f"{commit}+" if changed else commit


def _gpu_busy_percent() -> int | None:
    """How busy the GPU is with others' work: a browser or a screen recorder makes timings several times longer."""
    if sys.platform == "darwin":
        found = re.search(r'"Device Utilization %"=(\d+)', _output("ioreg", "-r", "-d", "1", "-c", "IOAccelerator"))
        return int(found[1]) if found else None
    first, *_ = _output("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits").split() or [""]
    return int(first) if first.isdigit() else None


def _output(*command: str) -> str:
    """What a command prints; "" if it isn't there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
