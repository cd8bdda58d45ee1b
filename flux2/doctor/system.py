"""The machine, the Python that runs this, the folders it writes to, and the terminal."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from flux2 import __version__, folders, paths
from flux2.backend.chip import macos_version
from flux2.doctor.finding import Finding, note, ok, wrong
from flux2.humanize import size

OLDEST_MACOS = (14, 0)
"""Version of macOS that MLX's wheels are built for."""
LITTLE_ROOM = 2 << 30
"""Bytes of disk below which pictures, caches and logs may soon find no room."""
MUCH_SWAP = 4 << 30
"""Bytes of swap in use above which the machine is short of memory already."""


def check_machine() -> Iterator[Finding]:
    """Python and the system it runs on."""
    yield ok(f"flux2-tui {__version__}, Python {platform.python_version()}, {platform.platform()}")
    chosen = sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith(("FLUX2_", "MLX_")))
    if chosen:
        yield note(f"environment: {' '.join(chosen)}")
    if platform.system() != "Darwin":
        return
    if platform.machine() != "arm64" and _output("sysctl", "-n", "sysctl.proc_translated").strip() != "1":
        yield wrong("this Mac has an Intel processor, for which there is no MLX", "Use a Mac with Apple silicon.")
    elif platform.machine() != "arm64":
        yield wrong(
            "this Python was built for Intel and runs under Rosetta, where MLX can't use the GPU",
            "Install a Python for Apple silicon (from python.org, say) and make the environment anew.",
        )
    version = macos_version()
    if version < OLDEST_MACOS:
        yield wrong(
            f"macOS {version[0]}.{version[1]} is older than MLX supports",
            f"Update to macOS {OLDEST_MACOS[0]} or later.",
        )


def check_power() -> Iterator[Finding]:
    """Whether a Mac saves energy at the GPU's cost."""
    if platform.system() == "Darwin" and re.search(r"^\s*lowpowermode\s+1$", _output("pmset", "-g"), re.MULTILINE):
        yield note("Low Power Mode is on, in which the GPU is slower", "Switch it off in the settings, under Battery.")


def _output(*command: str) -> str:
    """What a command prints; "" if it isn't there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def check_folders() -> Iterator[Finding]:
    """Every folder that the program writes to."""
    for name, folder in (
        ("pictures", folders.pictures_dir()),
        ("settings", paths.config_dir()),
        ("state", paths.state_dir()),
        ("cache", paths.cache_dir()),
        ("models", folders.models_dir()),
    ):
        yield _check_folder(name, folder)


def _check_folder(name: str, folder: Path) -> Finding:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            free = shutil.disk_usage(existing).free
    except OSError as error:
        return wrong(
            f"{name}: {existing} can't be written ({error.strerror or error})",
            "Give yourself the right to write there, or name another folder in the settings.",
        )
    if free < LITTLE_ROOM:
        return note(f"{name}: {folder} has {size(free)} left", "Free some disk space.")
    return ok(f"{name}: {folder}, {size(free)} free")


def check_memory() -> Iterator[Finding]:
    """What other programs leave."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    text = f"{size(memory.total)} of memory, {size(memory.available)} available; {size(swap.used)} of swap used"
    if swap.used > MUCH_SWAP:
        yield note(text, "Close programs that hold much memory before long runs.")
    else:
        yield ok(text)


def check_terminal() -> Iterator[Finding]:
    """What the terminal says of itself; the dashboard asks it for more when it starts."""
    told = {name: os.environ.get(name, "") for name in ("TERM", "COLORTERM", "TERM_PROGRAM", "LC_ALL", "LANG")}
    remote = ", over ssh" if os.environ.get("SSH_CONNECTION") else ""
    text = "terminal: " + " ".join(f"{name}={value}" for name, value in told.items() if value) + remote
    if sys.getfilesystemencoding().lower() != "utf-8" or (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8"):
        yield note(f"{text}; its encoding is not UTF-8", "Set LANG to a UTF-8 locale, such as en_US.UTF-8.")
    else:
        yield ok(text)
