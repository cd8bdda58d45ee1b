"""The worker's end of one connection, on a real socket, with short patience."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from flux2.worker import connection as module
from flux2.worker.connection import HARD_LIMIT, SOFT_LIMIT, Connection, Worth
from flux2.worker.protocol import PROTOCOL, Ask, Decoder, Hello, Message, Reply, encode

HELLO = encode(Hello(protocol=PROTOCOL, version="test", pid=1))


class Host:
    """Remembers what the connection tells it."""

    def __init__(self) -> None:
        self.attached = False
        self.commands: list[Ask] = []
        self.dropped: str | None = None

    def attach(self, _: Connection) -> None:
        self.attached = True

    def obey(self, _: Connection, command: Ask) -> None:
        self.commands.append(command)

    def detach(self, _: Connection, why: str) -> None:
        self.dropped = why

    def is_full(self) -> bool:
        return False


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Host, Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    theirs.setblocking(False)
    host = Host()
    transport, connection = await asyncio.get_running_loop().connect_accepted_socket(lambda: Connection(host), ours)
    try:
        yield host, connection, theirs
    finally:
        transport.abort()
        theirs.close()


async def read_on(end: socket.socket, enough: Callable[[bytes], bool] = lambda _: False) -> bytes:
    """What comes, until it is enough or nothing more comes."""
    data = b""
    loop = asyncio.get_running_loop()
    while not enough(data):
        try:
            more = await asyncio.wait_for(loop.sock_recv(end, 1 << 20), timeout=10)
        except ConnectionResetError:
            break
        if not more:
            break
        data += more
    return data


def messages(data: bytes) -> list[Message]:
    return list(Decoder().feed(data))


@pytest.mark.parametrize("opening", [b"", b"\0\0", HELLO + b"\0\0\0\x50\0\0\0\0{"])
async def test_half_a_message_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch, opening: bytes) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    async with connected() as (host, _, end):
        end.send(opening)
        last = messages(await read_on(end))[-1]
        assert isinstance(last, Reply)
        assert "Nothing whole came" in last.error
        assert host.dropped == last.error


async def test_one_who_greeted_may_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    async with connected() as (host, _, end):
        end.send(HELLO)
        await asyncio.sleep(0.6)
        assert host.dropped is None
        end.send(encode(Ask(id=1, name="ping")))
        await asyncio.sleep(0.1)
        assert host.commands == [Ask(id=1, name="ping")]
        await asyncio.sleep(0.6)
        assert host.dropped is None


async def test_a_stranger_is_not_even_greeted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "peer_uid", lambda _: os.geteuid() + 1)
    async with connected() as (host, _, end):
        assert await read_on(end) == b""
        assert host.dropped == f"it belongs to another user (uid {os.geteuid() + 1})"
        assert not host.attached


async def test_one_who_is_gone_already_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: socket.socket) -> int:
        raise OSError(57, "Socket is not connected")

    monkeypatch.setattr(module, "peer_uid", unknown)
    async with connected() as (host, _, end):
        assert await read_on(end) == b""
        assert host.dropped == ""
        assert not host.attached


async def test_a_slow_client_loses_samples_first_and_hears_the_last_preview_only() -> None:
    lasting, sample, preview = (encode(Reply(id=number, error="x" * 1000)) for number in (1, 2, 3))
    last, end_mark = encode(Reply(id=4)), encode(Reply(id=5))
    async with connected() as (host, connection, end):
        sent = 2 * SOFT_LIMIT // len(lasting)
        for _ in range(sent):
            connection.offer(sample, Worth.SAMPLE)
            connection.offer(preview, Worth.PREVIEW)
        connection.offer(last, Worth.PREVIEW)
        for _ in range(sent):
            connection.offer(lasting)
        connection.offer(end_mark)
        heard = messages(await read_on(end, lambda data: data.endswith(end_mark)))
        ids = [message.id for message in heard if isinstance(message, Reply)]
        assert ids.count(1) == sent
        assert 0 < ids.count(2) < sent
        assert ids.count(3) < sent / 10  # those that went before the client was slow
        assert ids.count(4) == 1
        assert host.dropped is None


async def test_one_who_never_reads_is_dropped() -> None:
    frame = encode(Reply(id=1, error="x" * 100_000))
    async with connected() as (host, connection, _):
        for _ in range(HARD_LIMIT // len(frame) + 20):
            connection.offer(frame)
        await asyncio.sleep(0.05)
        assert host.dropped == "it does not read what it is sent"


async def test_room_is_made_before_a_client_is_dropped() -> None:
    frame = encode(Reply(id=1, error="x" * 100_000))
    async with connected() as (host, connection, _):
        for _ in range(9):
            connection.offer(frame, Worth.SAMPLE)
        for _ in range(HARD_LIMIT // len(frame) - 2):
            connection.offer(frame)
        await asyncio.sleep(0.05)
        assert host.dropped is None
