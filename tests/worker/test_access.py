"""Nobody else gets in."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flux2.errors import WorkerError
from flux2.paths import state_dir
from flux2.worker import access
from flux2.worker.client import connect
from tests.worker.home import ROOT, RUNNER, Home

NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be two users")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path, for a socket's address must be short."""
    path = Path(tempfile.mkdtemp(prefix="flux2-"))
    yield path
    shutil.rmtree(path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


async def test_what_a_worker_makes_is_its_users_alone(home: Home) -> None:
    old = os.umask(0)
    try:
        await home.attach()
    finally:
        os.umask(old)
    assert mode(state_dir()) == 0o700
    assert mode(home.socket.parent) == 0o700
    assert mode(home.socket) == 0o600
    assert mode(state_dir() / "worker.log") == 0o600
    assert mode(state_dir() / "worker.lock") == 0o600


def test_a_folder_of_ones_own_that_is_open_is_closed(folder: Path) -> None:
    run = folder / "run"
    run.mkdir(mode=0o777)
    run.chmod(0o777)
    access.listen(run / "s").close()
    assert mode(run) == 0o700


def test_a_link_is_refused(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "run").symlink_to(folder / "elsewhere")
    with pytest.raises(WorkerError, match="is not a folder"):
        access.listen(folder / "run" / "s")
    assert list((folder / "elsewhere").iterdir()) == []


def test_a_file_in_the_sockets_place_is_left_alone(folder: Path) -> None:
    access.make_private(folder / "run")
    (folder / "run" / "s").write_text("precious")
    with pytest.raises(WorkerError, match="is not a socket"):
        access.listen(folder / "run" / "s")
    assert (folder / "run" / "s").read_text() == "precious"


@as_root
def test_a_folder_of_anothers_is_refused_by_both_sides(folder: Path) -> None:
    run = folder / "run"
    run.mkdir(mode=0o700)
    os.chown(run, NOBODY, NOBODY)
    for refused in (access.make_private, access.check_private):
        with pytest.raises(WorkerError, match=f"belongs to another user \\(uid {NOBODY}\\)"):
            refused(run)


@as_root
async def test_a_worker_of_anothers_is_not_talked_to(folder: Path) -> None:
    folder.chmod(0o777)
    with socket.socket(socket.AF_UNIX) as listener:
        os.seteuid(NOBODY)  # the kernel notes who listens
        listener.bind(os.fspath(folder / "s"))
        listener.listen()
        os.seteuid(0)
        with pytest.raises(WorkerError, match=f"belongs to another user \\(uid {NOBODY}\\)"):
            await connect(folder / "s")


def test_the_kernel_tells_who_is_at_the_other_end() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert access.peer_uid(one) == os.getuid()
        assert access.peer_pid(one) == os.getpid()


def test_the_lock_is_free_again_when_its_holder_is_gone(folder: Path) -> None:
    lock, path = folder / "lock", folder / "s"
    second = access.only_worker(lock, path, patience=0.1)
    with access.only_worker(lock, path), pytest.raises(access.AlreadyRunning, match=f"process {os.getpid()} on "):
        second.__enter__()
    with access.only_worker(lock, path, patience=0.1):
        pass


async def test_a_worker_in_a_home_that_can_not_be_written_says_so(home: Home) -> None:
    (home.folder / "state").write_text("not a folder")
    worker = subprocess.run(
        [sys.executable, "-m", "flux2.worker", *RUNNER], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert worker.returncode == 1
    assert str(home.folder / "state") in worker.stderr
    assert "Traceback" not in worker.stderr
    with pytest.raises(WorkerError, match="state"):
        await home.attach()


@as_root
@pytest.mark.parametrize("mode", [0o1777, 0o700])
def test_nobody_is_told_to_remove_what_only_another_may(
    folder: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """In a folder as /tmp, where the other user was first, and in one of one's own."""
    theirs = folder / "run"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    os.chown(folder, 0 if mode == 0o1777 else NOBODY - 1, -1)
    folder.chmod(mode)
    monkeypatch.setattr("os.geteuid", lambda: NOBODY - 1)
    with pytest.raises(WorkerError, match="belongs to another user") as refused:
        access.check_private(theirs)
    assert "set FLUX2_HOME elsewhere" in str(refused.value)
    assert ("remove it" in str(refused.value)) == (mode == 0o700)
