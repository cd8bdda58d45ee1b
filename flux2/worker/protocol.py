"""What the worker and its clients say to each other; sans-I/O: bytes in, messages out.

A frame is two 4-byte big-endian lengths, of the JSON and of the blob that follow. The JSON is an object whose "type"
names one of the messages below; the blob is a preview's PNG, else empty. The worker begins with `Hello` and the client
answers with its own; the framing and `Hello` stay as they are in every version, so that a mismatch can be said in a
sentence. Then the worker sends one `Snapshot`, and from there on a `Happened` for every event. An `Ask`, which holds a
command of `flux2.worker.commands`, is answered by the `Reply` of the same id. A `Reply` of id 0 says why the worker is
about to hang up.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from flux2.dataclass_json import read_dataclass
from flux2.errors import WorkerError
from flux2.events import Event, Preview, from_wire, to_wire

PROTOCOL = 3
"""Raised whenever a message changes in a way that an older program would misread."""

_LENGTHS = struct.Struct(">II")


@dataclass(frozen=True, slots=True)
class Limits:
    """The most a frame may hold, bytes."""

    json: int
    blob: int


TO_WORKER = Limits(json=512 * 1024, blob=0)
"""Three prompts of the greatest length, each character written in JSON as a pair of surrogates, and some room."""
TO_CLIENT = Limits(json=128 * 1024 * 1024, blob=16 * 1024 * 1024)
"""A full queue of such requests, and some room for runs and log."""


class ProtocolError(WorkerError):
    """The other side sent something that is no message; the connection can't be used any longer."""


# --- messages ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The first message of each side."""

    protocol: int
    version: str
    pid: int
    watch: bool = True
    """Whether a client wants events; False for one that only asks and leaves."""
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    """Variables of a client's shell that its requests carry (`flux2.asker.carried`), perhaps a token: never written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """Who the worker is. Sent in the snapshot, and again when it changes."""

    pid: int
    version: str
    started: float
    """Seconds since the epoch."""
    log: str
    """Path of its log file."""
    ready: bool = False
    """False while MLX is still being imported; requests may be sent all the same."""
    device: str = ""
    """What computes, for people: "Apple M3 Max" or "CPU"; "" until ready."""
    memory_limit: int = 0
    """Bytes that the device should not exceed; 0 until ready."""
    backend: str = ""
    """"cpu" or "gpu"; "" until ready."""
    model: str = ""
    """What is kept loaded between runs, for people ("klein-4b int4"); "" for nothing."""
    environment: dict[str, str] = field(default_factory=dict)
    """What it has from the shell that started it (`flux2.asker.read_once`); {} from a version that does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """The events of one run that are needed to draw it, in order."""

    run: str
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything a late-comer needs to show what the others see."""

    worker: WorkerInfo
    queue: tuple[dict[str, Any], ...] = ()
    """Requests in the form of `flux2.events.QueueChanged.items`: the running one first."""
    held: bool = False
    """Whether the queue is held, as `flux2.events.QueueChanged.held`."""
    runs: tuple[RunRecord, ...] = ()
    """The last runs, oldest first. The newest has its memory samples (thinned out if many) and its last preview."""
    log: tuple[Event, ...] = ()
    """What the worker logged of late that concerns no run, and how far each model's download is."""
    unfinished: tuple[dict[str, Any], ...] = ()
    """Unfinished runs in the form of `flux2.events.UnfinishedChanged.items`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A client's command."""

    id: int
    name: str
    """One of `flux2.worker.commands.COMMANDS`."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """The command's fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    id: int
    result: dict[str, Any] = field(default_factory=dict)
    """The fields of the command's answer."""
    error: str = ""
    """A sentence; "" where the command was carried out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodbye:
    """The worker's last message, where it had the time to send one."""

    reason: str


Message = Hello | WorkerInfo | Snapshot | Happened | Ask | Reply | Goodbye

_NAMES: dict[type, str] = {
    Hello: "hello",
    WorkerInfo: "worker",
    Snapshot: "snapshot",
    Happened: "event",
    Ask: "command",
    Reply: "reply",
    Goodbye: "goodbye",
}
_TYPES = {name: cls for cls, name in _NAMES.items()}


# --- encoding ---------------------------------------------------------------------------------------------------------


def encode(message: Message, limits: Limits = TO_CLIENT) -> bytes:
    """The message as one frame.

    Raises:
        ProtocolError: if it is larger than the other side accepts.
    """
    data, blob = _to_json(message)
    # ASCII with escapes: a prompt may hold lone surrogates (bytes a terminal could not decode), which UTF-8 has not.
    text = json.dumps({"type": _NAMES[type(message)], **data}, separators=(",", ":")).encode("ascii")
    _check_lengths(len(text), len(blob), limits)
    return _LENGTHS.pack(len(text), len(blob)) + text + blob


def _to_json(message: Message) -> tuple[dict[str, Any], bytes]:
    match message:
        case Happened(event=event):
            data, blob = to_wire(event)
            return {"data": data}, blob
        case Snapshot():
            runs, blob = [], b""
            for record in message.runs:
                wired = [to_wire(event) for event in record.events]
                blob = next((png for _, png in reversed(wired) if png), b"")
                runs.append({"run": record.run, "events": [data for data, _ in wired]})
            return {
                "worker": asdict(message.worker),
                "queue": list(message.queue),
                "held": message.held,
                "runs": runs,
                "log": [to_wire(event)[0] for event in message.log],
                "unfinished": list(message.unfinished),
            }, blob
        case _:
            return asdict(message), b""


# --- decoding ---------------------------------------------------------------------------------------------------------


class Decoder:
    """Bytes as they come in, messages as they become whole.

    >>> decoder = Decoder()
    >>> list(decoder.feed(encode(Reply(id=1))))
    [Reply(id=1, result={}, error='')]
    """

    def __init__(self, limits: Limits = TO_CLIENT) -> None:
        self._limits = limits
        self._buffer = bytearray()

    @property
    def mid_frame(self) -> bool:
        """Whether the other side owes the rest of a frame."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take bytes in; yield the messages that they complete.

        Raises:
            ProtocolError: if a length is out of bounds or a frame holds no message; the decoder is of no use then.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTHS.size:
            json_length, blob_length = _LENGTHS.unpack_from(self._buffer)
            _check_lengths(json_length, blob_length, self._limits)
            middle = _LENGTHS.size + json_length
            end = middle + blob_length
            if len(self._buffer) < end:
                return
            text, blob = bytes(self._buffer[_LENGTHS.size : middle]), bytes(self._buffer[middle:end])
            del self._buffer[:end]
            yield _from_json(text, blob)


def _check_lengths(json_length: int, blob_length: int, limits: Limits) -> None:
    if not 2 <= json_length <= limits.json:
        raise ProtocolError(f"A message of {json_length} bytes is out of bounds; 2 to {limits.json} are accepted.")
    if blob_length > limits.blob:
        raise ProtocolError(f"An attachment of {blob_length} bytes is out of bounds; up to {limits.blob} are accepted.")


def _from_json(text: bytes, blob: bytes) -> Message:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"A message is not JSON ({error}).") from error
    if not isinstance(data, dict) or not isinstance(data.get("type"), str) or data["type"] not in _TYPES:
        raise ProtocolError(f"A message is of no known type: {text[:80]!r}.")
    cls = _TYPES[data["type"]]
    try:
        if cls is Happened:
            return Happened(event=from_wire(_object(data, "data"), blob))
        if cls is Snapshot:
            return _read_snapshot(data, blob)
        message: Message = read_dataclass(cls, data)
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        raise ProtocolError(f"A {data['type']} message is malformed ({error}).") from error
    return message


def _read_snapshot(data: dict[str, Any], blob: bytes) -> Snapshot:
    runs = [
        RunRecord(run=str(item["run"]), events=tuple(from_wire(event) for event in _list(item, "events")))
        for item in _list(data, "runs")
    ]
    if runs and blob:
        newest = runs[-1]
        last = max((i for i, event in enumerate(newest.events) if isinstance(event, Preview)), default=None)
        if last is not None:
            wired = to_wire(newest.events[last])[0]
            events = (*newest.events[:last], from_wire(wired, blob), *newest.events[last + 1 :])
            runs[-1] = RunRecord(run=newest.run, events=events)
    return Snapshot(
        worker=read_dataclass(WorkerInfo, _object(data, "worker")),
        queue=tuple(dict(item) for item in _list(data, "queue")),
        held=bool(data.get("held", False)),
        runs=tuple(runs),
        log=tuple(from_wire(event) for event in _list(data, "log")),
        unfinished=tuple(dict(item) for item in _list(data, "unfinished")),
    )


def _object(data: dict[str, Any], name: str) -> dict[str, Any]:
    if not isinstance(data.get(name), dict):
        raise ValueError(f"{name} is not an object")
    return dict(data[name])


def _list(data: dict[str, Any], name: str) -> list[Any]:
    if not isinstance(data, dict) or not isinstance(data.get(name), list):
        raise ValueError(f"{name} is not a list")
    return list(data[name])
