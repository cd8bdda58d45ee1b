"""One client, as the worker sees it: greeting, messages in, and a bounded queue of frames out."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from enum import Enum, auto
from typing import Protocol

from flux2 import __version__
from flux2.asker import Asker
from flux2.worker.access import peer_uid
from flux2.worker.protocol import (
    PROTOCOL,
    TO_WORKER,
    Ask,
    Decoder,
    Hello,
    Message,
    ProtocolError,
    Reply,
    encode,
)

SOFT_LIMIT = 1024 * 1024
"""Bytes waiting for a client beyond which it gets no more samples and previews. A quarter of an hour of samples: a link
that stalled for ten minutes leaves no gap in the graph."""
HARD_LIMIT = 8 * 1024 * 1024
"""Bytes beyond which it is dropped."""

PATIENCE = 10.0
"""Seconds that a client may take for its hello, or for the rest of a frame it began."""

_CLOSING = 1.0  # seconds for a last message to reach a client that is being dropped


class Worth(Enum):
    """How much a slow client would miss a frame."""

    LASTING = auto()
    SAMPLE = auto()
    """One of many."""
    PREVIEW = auto()
    """A picture in between, dispensable once there is a later one."""


class Host(Protocol):
    """What a connection needs of the server."""

    def attach(self, connection: Connection) -> None:
        """The client has greeted properly: send it a snapshot, and events if it watches."""

    def obey(self, connection: Connection, asked: Ask) -> None: ...

    def detach(self, connection: Connection, why: str) -> None:
        """The client is gone; `why` says it where it was dropped."""

    def is_full(self) -> bool: ...


class Connection(asyncio.Protocol):
    def __init__(self, host: Host) -> None:
        self._host = host
        self._decoder = Decoder(TO_WORKER)
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[tuple[bytes, Worth]] = deque()
        self._waiting_bytes = 0
        self._blocked = False
        self._why = ""
        self.peer: Hello | None = None
        """The client's greeting; None until it has come."""

    @property
    def asker(self) -> Asker:
        """The client's shell; None for a client of a version that does not tell it."""
        return (self.peer.environment if self.peer else None) or None

    # --- out ---------------------------------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        self.offer(encode(message))

    def offer(self, frame: bytes, worth: Worth = Worth.LASTING) -> None:
        """Send a frame now or as soon as the client has read what came before; never waits.

        Where a client is slow, previews and samples go first, and then the client.
        """
        if self._transport.is_closing():
            return
        if not self._blocked:
            self._transport.write(frame)
            return
        if worth is Worth.PREVIEW:
            self._forget(Worth.PREVIEW)
        if worth is not Worth.LASTING and self._waiting_bytes + len(frame) > SOFT_LIMIT:
            return
        self._waiting.append((frame, worth))
        self._waiting_bytes += len(frame)
        if self._waiting_bytes > HARD_LIMIT:
            self._forget(Worth.PREVIEW, Worth.SAMPLE)
        if self._waiting_bytes > HARD_LIMIT:
            self._why = "it does not read what it is sent"
            self._transport.abort()

    def _forget(self, *worths: Worth) -> None:
        self._waiting = deque(entry for entry in self._waiting if entry[1] not in worths)
        self._waiting_bytes = sum(len(frame) for frame, _ in self._waiting)

    def close(self, why: str = "") -> None:
        """End the connection once what was written is through, or in a second."""
        self._why = self._why or why
        if not self._transport.is_closing():
            while self._waiting:
                self._transport.write(self._waiting.popleft()[0])
            self._transport.close()
            asyncio.get_running_loop().call_later(_CLOSING, self._transport.abort)

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        while self._waiting and not self._blocked:
            frame, _ = self._waiting.popleft()
            self._waiting_bytes -= len(frame)
            self._transport.write(frame)

    # --- in ----------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        try:
            uid = peer_uid(transport.get_extra_info("socket"))
        except OSError:  # it only looked whether somebody is here, and macOS no longer knows who it was
            transport.abort()
            return
        if uid != os.geteuid():
            self._why = f"it belongs to another user (uid {uid})"
            transport.abort()
            return
        if self._host.is_full():
            self._refuse("Too many screens are attached; close some.")
            return
        self.send(Hello(protocol=PROTOCOL, version=__version__, pid=os.getpid()))
        self._timer = self._expect_more()

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._decoder.feed(data):
                if self._transport.is_closing():
                    return
                self._take(message)
        except ProtocolError as error:
            self._refuse(str(error))
            return
        if self.peer is None or self._decoder.mid_frame:
            self._timer = self._timer or self._expect_more()
        elif self._timer:
            self._timer.cancel()
            self._timer = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 — asyncio's name
        if self._timer:
            self._timer.cancel()
        self._waiting.clear()
        self._host.detach(self, self._why)

    def _take(self, message: Message) -> None:
        match message:
            case Hello() if self.peer is None:
                if message.protocol != PROTOCOL:
                    raise ProtocolError(
                        f"This worker (version {__version__}) speaks protocol {PROTOCOL}, the client (version "
                        f"{message.version}) protocol {message.protocol}; end it with `flux2 worker stop`."
                    )
                self.peer = message
                self._host.attach(self)
            case Ask() if self.peer is not None:
                self._host.obey(self, message)
            case _:
                raise ProtocolError(f"A {type(message).__name__} message was not expected here.")

    def _expect_more(self) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        return loop.call_later(PATIENCE, self._refuse, f"Nothing whole came within {PATIENCE:.0f} seconds.")

    def _refuse(self, sentence: str) -> None:
        self.send(Reply(id=0, error=sentence))
        self.close(sentence)
