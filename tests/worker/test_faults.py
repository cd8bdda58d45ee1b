"""Real faults: signals, dead processes, hung-up terminals, clients that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flux2 import events as ev
from flux2.errors import WorkerError, WorkerInTheWay
from flux2.paths import state_dir
from flux2.worker import control, launch, protocol
from flux2.worker.access import EXIT_ALREADY_RUNS, is_answered
from flux2.worker.client import WorkerDied, WorkerLeft, WorkerLost, connect
from flux2.worker.commands import Cancel, Enqueue, Move, Ping, Quit, StartDownload
from flux2.worker.launch import is_alive
from flux2.worker.logfile import last_lines, log_path
from flux2.worker.protocol import PROTOCOL, Decoder, Hello, Message, Reply, encode
from flux2.worker.server import MAX_CLIENTS
from tests.hub_server import WEIGHTS, klein_hub
from tests.worker.home import (
    PATIENCE,
    ROOT,
    RUNNER,
    Home,
    events_until,
    eventually,
    heard_until_lost,
    of_type,
    record_of,
    request,
)
from tui.state.link import UserWorker

HELLO = encode(Hello(protocol=PROTOCOL, version="test", pid=1))


# --- the worker's process ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGKILL, "killed by SIGKILL"), (signal.SIGSEGV, "killed by SIGSEGV")]
)
async def test_a_killed_worker_is_noticed(home: Home, number: signal.Signals, words: str) -> None:
    client = await home.attach()
    run = (await client.ask(Enqueue(request("steps=1000")))).run
    waiting = (await client.ask(Enqueue(request("the next")))).run
    await events_until(client, ev.StepFinished)
    os.kill(client.pid, number)
    _, lost = await heard_until_lost(client)
    assert isinstance(lost, WorkerDied)
    assert words in lost.reason
    with pytest.raises(WorkerDied):
        await client.ask(Ping())

    again = await home.attach()
    failed = (await record_of(run)).events[-1]
    assert isinstance(failed, ev.RunFailed)
    assert "interrupted in phase denoise, after step" in failed.message
    await again.ask(Quit())
    heard, _ = await heard_until_lost(again)
    told = [*again.snapshot.runs[-1].events, *heard]
    assert [event.run for event in of_type(told, ev.RunFinished)] == [
        waiting
    ]  # and the interrupted one is not repeated


async def test_an_engine_without_a_gpu_is_told_with_what_to_do(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_FAULT", "[metal::load_device] No Metal device available.")
    client = await home.attach()
    heard = await events_until(client, ev.Logged) if not client.snapshot.log else client.snapshot.log
    (told,) = of_type(heard, ev.Logged)
    assert told.level == "error"
    assert told.message.startswith("The engine can't be loaded. This session has no access to the Mac's GPU; log in")


async def test_a_screen_that_did_not_start_the_worker_notices_too(home: Home) -> None:
    worker = subprocess.Popen([sys.executable, "-m", "flux2.worker", *RUNNER], cwd=ROOT)
    home.pids.add(worker.pid)
    await eventually(lambda: is_answered(home.socket))
    client = await home.attach(start=False)
    worker.kill()  # it stays a zombie, for its parent does not look
    _, lost = await heard_until_lost(client)
    worker.wait()
    assert client.lost is lost


async def test_a_full_disk_is_said_once_and_ends_no_run(home: Home) -> None:
    # No file may grow: every write to lock, log, queue and journal fails.
    worker = subprocess.Popen(
        ["sh", "-c", f"ulimit -f 0; exec {sys.executable} -m flux2.worker {' '.join(RUNNER)}"], cwd=ROOT
    )
    home.pids.add(worker.pid)
    await eventually(lambda: is_answered(home.socket))
    client = await home.attach(start=False)
    run = (await client.ask(Enqueue(request("steps=5")))).run
    heard = await events_until(client, ev.RunFailed)  # the picture can't be saved either
    assert len(of_type(heard, ev.StepFinished, run)) == 5
    said = [event.message for event in of_type([*client.snapshot.log, *heard], ev.Logged)]
    journal, picture = said
    assert journal == "The journal can't be written (File too large); the run goes on without it."
    assert picture.startswith("The picture is kept in the worker's memory alone")
    client.kill()
    await asyncio.to_thread(worker.wait, 20)
    assert worker.returncode == 0


async def test_a_death_that_is_not_our_childs_is_read_from_its_last_words(home: Home) -> None:
    for script, words in (("abort", "SIGABRT"), ("die=decode how=segfault", "SIGSEGV, a memory fault")):
        worker = subprocess.Popen([sys.executable, "-m", "flux2.worker", *RUNNER], cwd=ROOT)
        home.pids.add(worker.pid)
        await eventually(lambda: is_answered(home.socket))
        client = await home.attach(start=False)
        with contextlib.suppress(WorkerLost):
            await client.ask(Enqueue(request(script)))
        _, lost = await heard_until_lost(client)
        worker.wait()
        assert words in lost.reason


CGROUP = Path("/sys/fs/cgroup/memory")


@pytest.fixture
def little_memory() -> Iterator[Callable[[int, int], None]]:
    """Limits a process to so many bytes; beyond them the kernel kills it."""
    group = CGROUP / f"flux2-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no memory limit can be set here: {error}")

    def limit(pid: int, most: int) -> None:
        (group / "memory.limit_in_bytes").write_text(str(most))
        (group / "cgroup.procs").write_text(str(pid))

    try:
        yield limit
    finally:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.05)


async def test_a_worker_that_the_kernel_kills_for_want_of_memory(
    home: Home, little_memory: Callable[[int, int], None]
) -> None:
    client = await home.attach()
    little_memory(client.pid, 64 << 20)
    run = (await client.ask(Enqueue(request("steps=2 die=decode how=hoard")))).run
    heard, lost = await heard_until_lost(client)
    assert of_type(heard, ev.PhaseStarted, run)[-1].phase == "decode"
    assert "killed by SIGKILL, by the system, as memory ran out" in lost.reason
    again = await home.attach()
    assert [offer["id"] for offer in again.snapshot.unfinished] == [run]


async def test_an_abort_inside_the_engine_is_told_with_the_last_lines(home: Home) -> None:
    client = await home.attach()
    await client.ask(Enqueue(request("abort")))
    _, lost = await heard_until_lost(client)
    assert isinstance(lost, WorkerDied)
    assert "SIGABRT" in lost.reason
    assert "let the display sleep" in lost.reason
    assert r"libc++abi: terminating due to \x1b[31mImpacting Interactivity" in lost.last_lines
    assert any("fault" in line for line in lost.last_lines)  # where it was in Python


async def test_a_worker_that_can_not_start_says_why(home: Home) -> None:
    with pytest.raises(WorkerDied, match=r"did not start \(exit code 1\)") as caught:
        await home.attach("--runner", "tests.worker.fake_runner:NoSuchRunner")
    assert "NoSuchRunner" in caught.value.last_lines[-1]


async def test_a_worker_whose_socket_thread_fails_does_not_hang_but_ends(home: Home) -> None:
    with pytest.raises(WorkerError) as caught:
        await home.attach("--runner", "tests.worker.fake_runner:OfABrokenJournal")
    assert any("ZeroDivisionError: a bug" in line for line in last_lines(log_path()))
    assert isinstance(caught.value, WorkerDied)


async def test_a_command_with_a_bug_is_refused_and_costs_no_connection(home: Home) -> None:
    client = await home.attach("--runner", "tests.worker.fake_runner:OfABrokenQueue")
    with pytest.raises(WorkerError, match=r"can't do that \(ZeroDivisionError: a bug\); its log has more"):
        await client.ask(Move("any", 1))
    await client.ask(Ping())
    assert "ZeroDivisionError: a bug" in last_lines(log_path())


async def test_hangups_are_ignored(home: Home) -> None:
    client = await home.attach()
    run = (await client.ask(Enqueue(request("steps=20")))).run
    await events_until(client, ev.StepFinished)
    os.kill(client.pid, signal.SIGHUP)
    assert (await events_until(client, ev.RunFinished))[-1].run == run


async def test_a_run_outlives_the_terminal_it_was_started_from(home: Home) -> None:
    program = """
import asyncio
import signal
from flux2.request import GenerationRequest
from flux2.worker.client import connect_or_start
from flux2.worker.commands import Enqueue

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the suite itself may run under nohup

async def main():
    client = await connect_or_start(arguments=("--runner", "tests.worker.fake_runner:FakeRunner"))
    print("run", (await client.ask(Enqueue(GenerationRequest(prompt="steps=60 pause=0.05")))).run, flush=True)
    async for event in client.events():
        pass

asyncio.run(main())
"""
    master, slave = pty.openpty()
    screen = subprocess.Popen(
        [sys.executable, "-c", f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n{program}"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        cwd=ROOT,
    )
    os.close(slave)
    said = b""
    while not said.endswith(b"\n"):
        said += await asyncio.to_thread(os.read, master, 1000)
    os.close(master)  # the line drops: the kernel hangs the screen up
    assert await asyncio.to_thread(screen.wait, 20) == -signal.SIGHUP
    client = await home.attach(start=False)
    assert len(client.snapshot.queue) == 1
    finished = (await events_until(client, ev.RunFinished))[-1]
    assert finished.run == said.decode().split()[1]
    await client.ask(Quit())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_terminated_worker_leaves_cleanly(home: Home, number: signal.Signals) -> None:
    client = await home.attach()
    run = (await client.ask(Enqueue(request("steps=1000")))).run
    await events_until(client, ev.StepFinished)
    client.kill(number)
    heard, lost = await heard_until_lost(client)
    assert isinstance(lost, WorkerLeft)
    assert number.name in lost.reason
    (failed,) = of_type(heard, ev.RunFailed, run)
    assert "interrupted" in failed.message
    await eventually(lambda: not is_alive(client.pid))
    assert not home.socket.exists()


@pytest.mark.parametrize("how", ["cancel", "quit", "SIGTERM"])
async def test_an_engine_that_does_not_obey_is_given_up(home: Home, how: str) -> None:
    client = await home.attach("--grace", "0.3")
    run = (await client.ask(Enqueue(request("steps=1000 stubborn")))).run
    waiting = (await client.ask(Enqueue(request()))).run
    await events_until(client, ev.StepFinished)
    if how == "cancel":
        assert (await client.ask(Cancel(run, force=True))).cancelled
    elif how == "quit":
        await client.ask(Quit(now=True))
    else:
        client.kill()
    heard, lost = await heard_until_lost(client)
    assert "did not answer within 0.3 seconds" in lost.reason
    assert isinstance(of_type(heard, ev.Event, run)[-1], ev.RunCancelled if how == "cancel" else ev.RunFailed)
    await eventually(lambda: not is_alive(client.pid))
    saved = json.loads((state_dir() / "queue.json").read_text())["items"]
    assert [(item["id"], item["state"]) for item in saved] == [(waiting, "queued")]


async def test_a_forced_cancel_spares_a_worker_that_obeys(home: Home) -> None:
    client = await home.attach("--grace", "0.3")
    run = (await client.ask(Enqueue(request("steps=1000")))).run
    await events_until(client, ev.StepFinished)
    assert (await client.ask(Cancel(run, force=True))).cancelled
    await events_until(client, ev.RunCancelled)
    await asyncio.sleep(0.5)
    await client.ask(Ping())


# --- one worker -------------------------------------------------------------------------------------------------------


async def test_a_second_worker_refuses(home: Home) -> None:
    client = await home.attach()
    second = subprocess.run(
        [sys.executable, "-m", "flux2.worker", *RUNNER], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert second.returncode == EXIT_ALREADY_RUNS
    assert f"A worker already runs (process {client.pid} on " in second.stderr
    await client.ask(Ping())


async def test_screens_that_start_at_once_share_one_worker(home: Home) -> None:
    clients = await asyncio.gather(*(home.attach() for _ in range(3)))
    assert len({client.pid for client in clients}) == 1


async def test_a_stale_socket_is_replaced(home: Home) -> None:
    client = await home.attach()
    os.kill(client.pid, signal.SIGKILL)
    await heard_until_lost(client)
    assert home.socket.exists()
    again = await home.attach()
    assert again.pid != client.pid


async def test_a_socket_that_was_removed_is_made_again(home: Home) -> None:
    client = await home.attach()
    home.socket.unlink()
    await eventually(home.socket.exists)
    again = await home.attach(start=False)
    assert again.pid == client.pid
    await client.ask(Ping())


async def test_a_worker_whose_folder_was_removed_makes_way(home: Home) -> None:
    client = await home.attach()
    run = (await client.ask(Enqueue(request("steps=50")))).run
    await events_until(client, ev.StepFinished)
    while state_dir().exists():  # the run goes on writing there, which may be in the way
        shutil.rmtree(state_dir(), ignore_errors=True)
    heard, lost = await heard_until_lost(client)
    assert of_type(heard, ev.RunFinished, run)
    assert lost.reason == "The worker left: its folder was removed."


# --- clients that misbehave -------------------------------------------------------------------------------------------


class RawClient:
    """A client that sends what it likes."""

    def __init__(self, path: Path, *, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(os.fspath(path))
        self.socket.settimeout(20)

    def send(self, data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def hear_out(self) -> list[Message]:
        """Everything until the worker hangs up."""
        decoder, heard = Decoder(), list[Message]()
        with contextlib.suppress(ConnectionResetError):
            while data := self.socket.recv(65536):
                heard += decoder.feed(data)
        return heard


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "out of bounds"),
        (HELLO + b"\xff" * 1000, "out of bounds"),
        (HELLO + HELLO, "not expected"),
        (encode(Reply(id=1)), "not expected"),
        (HELLO + b"\0\0\0\4\0\0\0\0null", "no known type"),
        (encode(Hello(protocol=PROTOCOL + 1, version="9.9", pid=1)), f"speaks protocol {PROTOCOL}"),
    ],
    ids=["http", "lengths", "two hellos", "no hello", "no object", "other protocol"],
)
async def test_garbage_drops_its_sender_and_nobody_else(home: Home, sent: bytes, words: str) -> None:
    client = await home.attach()
    run = (await client.ask(Enqueue(request("steps=20")))).run
    raw = RawClient(home.socket)
    await asyncio.to_thread(raw.send, sent)
    heard = await asyncio.to_thread(raw.hear_out)
    assert isinstance(heard[-1], Reply)
    assert words in heard[-1].error
    raw.socket.close()
    assert (await events_until(client, ev.RunFinished))[-1].run == run


async def test_a_flood_of_garbage_drops_its_sender_and_nobody_else(home: Home) -> None:
    client = await home.attach()
    run = (await client.ask(Enqueue(request("steps=20")))).run
    raw = RawClient(home.socket)
    await asyncio.to_thread(raw.send, b"\xff" * (1 << 24))
    await asyncio.to_thread(raw.hear_out)
    raw.socket.close()
    assert (await events_until(client, ev.RunFinished))[-1].run == run


async def test_a_client_that_never_reads_is_dropped_and_nobody_notices(home: Home) -> None:
    client = await home.attach()
    deaf = RawClient(home.socket, receive_buffer=4096)
    deaf.send(HELLO)
    run = (await client.ask(Enqueue(request("steps=50 warn=20 length=12000")))).run  # 12 MB
    heard = await events_until(client, ev.RunFinished)
    assert len(of_type(heard, ev.Warned, run)) == 1000
    dropped = [event.message for event in of_type(heard, ev.Logged)]
    assert dropped == ["A client was dropped: it does not read what it is sent."]
    deaf.socket.close()


async def test_a_worker_that_leaves_while_somebody_does_not_read_leaves_no_socket_behind(home: Home) -> None:
    client = await home.attach("--idle-timeout", "1")  # so that it looks often whether its socket is still there
    deaf = RawClient(home.socket, receive_buffer=4096)
    deaf.send(HELLO)
    await client.ask(Enqueue(request("steps=5 warn=20 length=12000")))
    await events_until(client, ev.RunFinished)
    await client.ask(Quit())
    await heard_until_lost(client)
    await eventually(lambda: not is_alive(client.pid))
    assert not home.socket.exists()
    deaf.socket.close()


async def test_too_many_clients_are_refused(home: Home) -> None:
    await home.attach()
    clients = [await home.attach(watch=False) for _ in range(MAX_CLIENTS - 1)]
    with pytest.raises(WorkerError, match="Too many"):
        await home.attach(start=False)
    await clients[0].close()
    async with asyncio.timeout(PATIENCE):  # until the worker has noticed
        while True:
            with contextlib.suppress(WorkerError):
                await home.attach(start=False)
                break


async def test_a_screen_of_another_version_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await home.attach()
    monkeypatch.setattr("flux2.worker.client.PROTOCOL", protocol.PROTOCOL + 1)
    with pytest.raises(WorkerError, match=rf"process {client.pid}, .* speaks protocol {PROTOCOL}, this program"):
        await connect()
    await client.ask(Ping())


@pytest.mark.parametrize("newer", [1, -1])
async def test_a_worker_of_another_protocol_is_replaced_with_consent(
    home: Home, monkeypatch: pytest.MonkeyPatch, newer: int
) -> None:
    monkeypatch.setenv("FAKE_PROTOCOL", str(PROTOCOL + newer))
    other = launch.start(home.socket, ("--runner", "tests.worker.fake_runner:OfAnotherProtocol"))
    await eventually(lambda: is_answered(home.socket))
    worker = UserWorker(home.socket)
    for restart in (worker.connect, worker.restart):
        with pytest.raises(WorkerInTheWay, match=f"speaks protocol {PROTOCOL + newer}"):
            await restart()
    assert other.poll() is None
    snapshot = await worker.restart(end_other=True)
    assert other.poll() is not None
    assert snapshot.worker.pid != other.pid
    home.pids.add(snapshot.worker.pid)
    await worker.close()


async def test_a_worker_asked_to_make_way_fetches_to_the_end(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with klein_hub(home.folder, monkeypatch) as hub:
        hub.files[WEIGHTS] = os.urandom(40 * 64 * 1024)
        hub.pace = 0.05
        client = await home.attach()
        await client.ask(StartDownload("klein-4b"))
        await events_until(client, ev.DownloadProgress)
        await client.ask(Quit())
        heard, lost = await heard_until_lost(client)
        assert of_type(heard, ev.DownloadProgress)[-1].state == "finished"
        assert isinstance(lost, WorkerLeft)


def test_a_worker_that_did_not_start_is_told_with_its_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path))
    (tmp_path / "state" / "worker.lock").mkdir(parents=True)
    with pytest.raises(WorkerError, match=r"did not start .*worker\.lock can't be opened \(Is a directory\)"):
        control.unfinished()
