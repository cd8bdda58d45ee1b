"""What this program keeps is its user's alone, whole, and changed by one process at a time."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from flux2 import settings
from flux2.backend import blas
from flux2.backend.mlx import mx
from flux2.disk import atomic
from flux2.disk.atomic import changing, write_atomically
from flux2.disk.digest import is_sealed, sealed, unsealed
from flux2.disk.private import NotPrivateError, check_own, make_private, read_own
from flux2.encode.prompt_cache import EncodedPrompt, PromptCache
from flux2.paths import cache_dir, state_dir
from flux2.pictures import favourites
from flux2.pictures.favourites import Favourites
from flux2.pictures.gallery import Gallery, Picture
from flux2.planning import measured_peaks
from flux2.planning.planner import MemoryPlan
from flux2.planning.run_facts import RunFacts
from flux2.request import GenerationRequest
from flux2.settings import settings_path
from tui.state import prompt_history
from tui.state.prompt_history import PromptHistory

NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be two users")
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's CPU backend only")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- folders and files ------------------------------------------------------------------------------------------------


def test_folders_are_made_closed_and_closed_where_they_are_open() -> None:
    make_private(cache_dir() / "blas")
    assert mode(cache_dir()) == mode(cache_dir() / "blas") == 0o700
    cache_dir().chmod(0o777)
    make_private(cache_dir() / "blas")
    assert mode(cache_dir()) == 0o700


@as_root
@pytest.mark.parametrize("place", [".", "blas"])
def test_a_folder_of_anothers_on_the_way_is_refused_with_a_remedy(place: str) -> None:
    folder = make_private(cache_dir() / "blas")
    write_atomically(folder / "file", b"mine")
    os.chown(cache_dir() / place, NOBODY, NOBODY)
    for refused in (lambda: make_private(folder), lambda: read_own(folder / "file")):
        with pytest.raises(NotPrivateError, match=r"belongs to another user .* FLUX2_HOME"):
            refused()


@as_root
def test_a_file_of_anothers_is_not_read() -> None:
    file = make_private(state_dir()) / "queue.json"
    file.write_text("theirs")
    os.chown(file, NOBODY, NOBODY)
    os.seteuid(1)
    try:
        with pytest.raises(PermissionError):
            read_own(file)
    finally:
        os.seteuid(0)
    file.chmod(0o666)
    os.chown(file, 0, 0)
    with pytest.raises(NotPrivateError, match="can be written by other users"):
        read_own(file)


def test_a_file_that_only_the_group_can_write_is_closed_and_not_run() -> None:
    file = make_private(cache_dir()) / "file"
    file.write_text("mine")
    file.chmod(0o664)
    with pytest.raises(NotPrivateError):
        check_own(file, closed=True)
    assert read_own(file) == b"mine"
    assert mode(file) == 0o600


def test_a_link_in_a_folders_place_is_refused(tmp_path: Path) -> None:
    make_private(cache_dir())
    (tmp_path / "elsewhere").mkdir()
    (cache_dir() / "prompts").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotPrivateError, match="is not a folder"):
        make_private(cache_dir() / "prompts")


def test_what_is_written_is_closed_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        write_atomically(tmp_path / "file", b"")
        Gallery([tmp_path]).load()
        with changing(tmp_path / "file"):
            pass
    finally:
        os.umask(old)
    assert mode(tmp_path / "file") == mode(tmp_path / ".file.lock") == 0o600
    assert mode(cache_dir() / "gallery.sqlite") == 0o600
    assert mode(cache_dir()) == 0o700


def test_file_and_folder_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(stat.S_ISDIR(os.fstat(descriptor).st_mode)))
    write_atomically(tmp_path / "file", b"content")
    assert flushed == [False, True]
    make_private(state_dir())
    assert flushed[2:] == [True]


# --- digests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 7, 20, -1, -20])
def test_a_sealed_file_is_known_by_any_flipped_bit_and_by_its_name(tmp_path: Path, place: int) -> None:
    content = bytearray(sealed("name", b"what was kept"))
    assert unsealed("name", bytes(content)) == b"what was kept"
    (tmp_path / "name").write_bytes(content)
    assert is_sealed(tmp_path / "name")
    (tmp_path / "other").write_bytes(content)
    assert not is_sealed(tmp_path / "other")
    content[place] ^= 1
    (tmp_path / "name").write_bytes(content)
    assert not is_sealed(tmp_path / "name")
    with pytest.raises(ValueError, match="is damaged"):
        unsealed("name", bytes(content))


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-100] ^= 0x40
    file.write_bytes(data)


def _save(**changes: object) -> Callable[[Path], None]:
    return lambda file: save_file({**load_file(file), **changes}, file)  # type: ignore[dict-item]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit": _flip,
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "data of zeros": _save(prompt_embeds=np.zeros((1, 16, 24), np.float32)),
    "other width": _save(prompt_embeds=np.zeros((1, 5, 3), np.float32)),
    "no tokens": _save(prompt_embeds=np.zeros((1, 0, 24), np.float32)),
    "other type": _save(prompt_embeds=np.zeros((1, 16, 24), np.int8)),
    "not a number": _save(dropped_tokens=np.array(np.nan)),
    "another shape": lambda file: file.write_bytes(file.read_bytes().replace(b"[1,16,24]", b"[1,24,16]")),
    "another count": lambda file: file.write_bytes(file.read_bytes().replace(b"[1,16,24]", b"[2,16,12]")),
    "cut": lambda file: os.truncate(file, 300),
    "empty": lambda file: os.truncate(file, 0),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "another prompt's": lambda file: file.write_bytes(next(f for f in file.parent.iterdir() if f != file).read_bytes()),
    "open to all": lambda file: file.chmod(0o666),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_of_the_prompt_cache_is_made_anew(damage: str) -> None:
    cache, kept = PromptCache("encoder"), EncodedPrompt(mx.random.normal((1, 16, 24)), dropped=0)
    cache.keep("another", None, EncodedPrompt(mx.random.normal((1, 16, 24)), dropped=0))
    cache.keep("a fox", None, kept)
    assert cache.find("a fox", None)
    DAMAGES[damage](cache._path("a fox", None))
    assert cache.find("a fox", None) is None
    cache.keep("a fox", None, kept)
    found = cache.find("a fox", None)
    assert found and mx.array_equal(found.embeddings, kept.embeddings)


@on_linux
@pytest.mark.parametrize("damage", ["cut", "zeros", "a bit", "open to the group", "another's folder"])
def test_no_library_is_loaded_that_is_not_as_it_was_made(damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas.subprocess, "run", lambda command, **_: command[-2].write_bytes(b"library" * 100))
    copy = blas._renamed_copy()
    whole = copy.read_bytes()
    assert mode(copy) == 0o600
    if damage == "another's folder":
        if os.getuid():
            pytest.skip("only root can be two users")
        os.chown(cache_dir(), NOBODY, NOBODY)
        with pytest.raises(OSError, match="belongs to another user"):
            blas._renamed_copy()
        return
    _ = copy.chmod(0o660) if damage == "open to the group" else DAMAGES[damage](copy)
    assert blas._renamed_copy() == copy
    assert copy.read_bytes() == whole
    assert mode(copy) == 0o600


# --- several processes, several threads -------------------------------------------------------------------------------


def test_marks_of_several_screens_at_once_are_all_kept(tmp_path: Path) -> None:
    file = state_dir() / "favourites.json"

    def mark(number: int) -> int:
        favourites, marked = Favourites(file), 0
        for picture in range(5):
            path = tmp_path / f"{number}-{picture}.png"
            path.write_bytes(os.urandom(10))
            found = path.stat()
            marked += favourites.toggle(Picture(path, found.st_size, found.st_mtime_ns))
        return marked

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(mark, range(4))) == 20
    assert len(Favourites(file)._marks) == 20


PLAN = MemoryPlan(RunFacts(), weights=0, kept=0, embeddings=0, peaks={"denoise": 1})


def _mark_a_picture(name: str) -> None:
    path = make_private(state_dir()) / f"{name}.png"
    path.write_bytes(name.encode())
    found = path.stat()
    Favourites().toggle(Picture(path, found.st_size, found.st_mtime_ns))


def _prompts() -> PromptHistory:
    return PromptHistory(state_dir() / "prompts.jsonl")


CHANGES: dict[str, tuple[ModuleType, Callable[[str], object], Callable[[], int]]] = {
    "favourites": (favourites, _mark_a_picture, lambda: len(Favourites()._marks)),
    "settings": (
        atomic,
        lambda name: settings.write_setting("theme", name) if name == "ours" else settings.write_setting("fps", 5),
        lambda: sum(line.startswith(("theme = ", "fps = ")) for line in settings_path().read_text().splitlines()),
    ),
    "prompts": (
        prompt_history,
        lambda name: _prompts().add(name),
        lambda: len(_prompts().entries),
    ),
    "peaks": (
        measured_peaks,
        lambda name: measured_peaks.remember_peaks(GenerationRequest(prompt="", model=name), PLAN, {"denoise": 1}),
        lambda: len(measured_peaks._read()),
    ),
}


@pytest.mark.parametrize("file", CHANGES)
def test_what_another_process_changed_just_before_is_kept(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another's change is made at the last moment before the lock is ours: whatever was read earlier is out of date."""
    module, change, count = CHANGES[file]
    locks = 0

    @contextlib.contextmanager
    def after_another(path: Path) -> Iterator[None]:
        nonlocal locks
        locks += 1
        if locks == 1:
            change("another's")
        with changing(path):
            yield

    monkeypatch.setattr(module, "changing", after_another)
    change("ours")
    assert (locks, count()) == (2, 2)


def test_one_pipeline_in_two_threads() -> None:
    code = """
import threading
from flux2 import Flux2Pipeline
pipe = Flux2Pipeline.from_pretrained("pocket")
pictures = []
def draw():
    made = pipe("a red fox", seed=1, height=64, width=64, num_inference_steps=1, guidance_scale=1.0)
    pictures.append(made.images[0].tobytes())
draw()
for _ in range(2):
    threads = [threading.Thread(target=draw) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
assert len(pictures) == 5 and len(set(pictures)) == 1
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
