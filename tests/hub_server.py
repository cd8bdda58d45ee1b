"""A small Hub on this machine that speaks its protocol, for tests: model info, files by range, and every refusal.

What a real one says was read from huggingface_hub's own source and tests: X-Error-Code names refusals, large files are
answered with a redirect to another path, and ETags are the names of the blobs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "c0ffee" + "0" * 34
LARGE = 20_000
"""Bytes from which a file is kept as Git LFS keeps it: known by its SHA-256 and served from elsewhere."""


@dataclass(slots=True)
class Fault:
    """What goes wrong when a file's bytes are asked for."""

    kind: str
    """"cut", "status", "wrong", "stall", "no range"."""
    times: int = 1
    status: int = 0
    after: int = 0
    """Bytes that come before a cut or a stall."""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Hub:
    """One repository, and how it behaves."""

    repo: str
    files: dict[str, bytes]
    url: str = ""
    token: str = ""
    """What must be sent for the files; "" where they are free for all."""
    allowed: bool = True
    """Whether that token's account has accepted the licence."""
    gone: bool = False
    info_faults: list[Fault] = field(default_factory=list)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    """Faults by path in the repository; each is used up `times` times."""
    pace: float = 0.0
    """Seconds between two pieces of 64 KiB of a large file."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Every request: method, path, Range."""
    sent: Counter[str] = field(default_factory=Counter)
    """Bytes sent, by path in the repository."""
    digests: dict[str, str] = field(default_factory=dict)
    """Digests told in place of the true ones, by path in the repository."""
    closing: threading.Event = field(default_factory=threading.Event)
    leaked: list[str] = field(default_factory=list)
    """Requests to the storage host that carried the token."""

    @classmethod
    def of_folder(cls, repo: str, folder: Path) -> Hub:
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return cls(repo, {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths})

    def told(self, path: str) -> dict[str, str]:
        """What is said of a file in place of the truth."""
        return {"blobId": self.digests[path]} if path in self.digests else {}

    def fetched(self, path: str) -> list[str]:
        """The ranges in which a file's bytes were asked for."""
        return [what for method, asked, what in self.asked if method == "GET" and asked.endswith(path)]


def is_large(data: bytes) -> bool:
    return len(data) >= LARGE


def some_weights(size: int) -> bytes:
    """A safetensors file with so many bytes of random data."""
    header = json.dumps({"x": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + os.urandom(size)


def etag(data: bytes) -> str:
    """The Hub's name of a content: the SHA-256 of a large file, git's SHA-1 of a small one."""
    if is_large(data):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


CHECKPOINT = Path(__file__).parent / "parity/recordings/distilled/checkpoint"
KLEIN = "black-forest-labs/FLUX.2-klein-4B"
WEIGHTS = "text_encoder/model.safetensors"


@contextlib.contextmanager
def klein_hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that has klein-4b (a small random one) under its true name, and an empty cache in `home`; for this process
    and those that it starts.
    """
    from huggingface_hub import close_session, constants

    hub = Hub.of_folder(KLEIN, CHECKPOINT)
    hub.files["flux-2-klein-4b.safetensors"] = b"the same weights once more" * 4000
    hub.files["README.md"] = b"# FLUX.2"
    with serving(hub):
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN_PATH"):
            monkeypatch.delenv(name, raising=False)
        for name, value in (("HF_ENDPOINT", hub.url), ("HF_HOME", home), ("FLUX2_HOME", home / "flux2")):
            monkeypatch.setenv(name, str(value))
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{repo_id}")
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + template[1] + template[2])
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        yield hub
        close_session()


@contextlib.contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("HubHandler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path, self.headers.get("Range", "")))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if path.startswith("/api/models/"):
                self._info(path.removeprefix("/api/models/"))
            elif found := re.fullmatch(r"/(.+?/.+?)/resolve/(.+?)/(.+)", path):
                self._resolve(*found.groups())
            elif path.startswith("/storage/"):
                self._storage(path.removeprefix("/storage/"))
            else:
                self._say(404)

    # --- what is asked -----------------------------------------------------------------------------------------------

    def _info(self, rest: str) -> None:
        hub = self.hub
        if hub.gone or not rest.startswith(hub.repo):
            self._say(401, {"X-Error-Code": "RepoNotFound"} if self._sent_token() else {})
        elif self._sent_token() and self._sent_token() != hub.token and hub.token:
            self._say(401, {"X-Error-Message": "Invalid credentials in Authorization header"})
        elif fault := _take(hub.info_faults):
            self._say(fault.status, fault.headers)
        elif "/tree/" in rest:
            self._say(200, body=[_entry(path, data) for path, data in hub.files.items()])
        else:
            siblings = [_sibling(path, data) | hub.told(path) for path, data in hub.files.items()]
            self._say(200, body={"id": hub.repo, "sha": COMMIT, "private": False, "siblings": siblings})

    def _resolve(self, repo: str, _revision: str, path: str) -> None:
        hub = self.hub
        if hub.gone or repo != hub.repo:
            self._say(404, {"X-Error-Code": "RepoNotFound"})
        elif hub.token and self._sent_token() != hub.token:
            self._say(401, {"X-Error-Code": "GatedRepo"})
        elif not hub.allowed:
            self._say(403, {"X-Error-Code": "GatedRepo"})
        elif path not in hub.files:
            self._say(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        else:
            data = hub.files[path]
            facts = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag(data)}"'}
            if is_large(data):
                facts |= {"X-Linked-ETag": f'"{etag(data)}"', "X-Linked-Size": str(len(data))}
                # Another host to any client: what it would not send the token to.
                facts["Location"] = f"{hub.url.replace('127.0.0.1', 'localhost')}/storage/{path}"
                self._say(302, facts)
            else:
                self._bytes(path, data, facts)

    def _storage(self, path: str) -> None:
        if self._sent_token():
            self.hub.leaked.append(path)
        self._bytes(path, self.hub.files[path], {})

    # --- answers -----------------------------------------------------------------------------------------------------

    def _bytes(self, path: str, data: bytes, headers: dict[str, str]) -> None:
        fault = _take(self.hub.faults.get(path, [])) if self.command == "GET" else None
        if fault and fault.kind == "status":
            self._say(fault.status, fault.headers)
            return
        start = 0
        if (wanted := self.headers.get("Range")) and not (fault and fault.kind == "no range"):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                self._say(416, {"Content-Range": f"bytes */{len(data)}"})
                return
            headers = {**headers, "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        self.send_response(206 if "Content-Range" in headers else 200)
        for name, value in {**headers, "Content-Length": str(len(data) - start), "Accept-Ranges": "bytes"}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault and fault.kind == "wrong":
            data = bytes(byte ^ 0x55 for byte in data)
        stop = start + fault.after if fault and fault.kind in ("cut", "stall") else len(data)
        for place in range(start, stop, 64 * 1024):
            piece = data[place : min(place + 64 * 1024, stop)]
            self.wfile.write(piece)
            self.hub.sent[path] += len(piece)
            if is_large(data):
                time.sleep(self.hub.pace)
        if fault and fault.kind == "stall":
            self.wfile.flush()
            self.hub.closing.wait(60.0)
        self.close_connection = stop < len(data)

    def _say(self, status: int, headers: dict[str, str] | None = None, body: Any = "") -> None:
        text = json.dumps(body or {"error": f"status {status}"}).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _sent_token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")


def _take(faults: list[Fault]) -> Fault | None:
    """The first fault that is not used up."""
    for fault in faults:
        if fault.times > 0:
            fault.times -= 1
            return fault
    return None


def _sibling(path: str, data: bytes) -> dict[str, Any]:
    about: dict[str, Any] = {"rfilename": path, "size": len(data), "blobId": _git_id(data)}
    if is_large(data):
        about["lfs"] = {"sha256": etag(data), "size": len(data), "pointerSize": 134}
    return about


def _entry(path: str, data: bytes) -> dict[str, Any]:
    about: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": _git_id(data)}
    if is_large(data):
        about["lfs"] = {"oid": etag(data), "size": len(data), "pointerSize": 134}
    return about


def _git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
