"""The standard streams as a shell may leave them: closed, on a full disk, without a reader, or too slow to take all.

After `prepare` they can be used without a thought. What standard output or standard error does not take is dropped, and
`exit_code` tells at the end that standard output was refused, by a sentence and the exit code. A command that has made
something says so by `deliver`: where nobody listens its work is done all the same, and its place is told on the other
stream.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TextIO

from flux2.errors import RequestError

FAILED = 1


class _Tolerant(io.RawIOBase):
    """A descriptor to write to: waits where it is slow, and drops all from its first refusal on."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.refusal: OSError | None = None
        self.told = False
        """Whether the user was told of the refusal, and where to find what was made."""

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data: memoryview) -> int:  # type: ignore[override]
        while self.refusal is None:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # whoever gave it to us does not wait; we do
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.refusal = error
        return len(data)


def prepare() -> None:
    """Make sure that there are three streams, and that no file gets the number of one that is closed."""
    for descriptor, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        if not _is_open(descriptor):
            nothing = os.open(os.devnull, mode)  # in the wrong direction, so that its use is refused as of a closed one
            os.dup2(nothing, descriptor)
            if nothing != descriptor:
                os.close(nothing)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r", closefd=False)))
    sys.stdout, sys.stderr = _tolerant(sys.stdout, 1), _tolerant(sys.stderr, 2)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _tolerant(stream: TextIO | None, descriptor: int) -> TextIO:
    """Stream that can be written without a thought; one that is another's already, as a test's, is left as it is."""
    if stream is not None and (_number(stream) != descriptor or _raw(stream) is not None):
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Tolerant(descriptor)),  # type: ignore[type-var]
        encoding=stream.encoding if stream else "utf-8",
        errors="backslashreplace",  # a terminal that can't show × must not fail
        line_buffering=descriptor == 2 or os.isatty(descriptor),
    )


def _number(stream: TextIO) -> int:
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return -1


def _raw(stream: TextIO) -> _Tolerant | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Tolerant) else None


def _refused() -> _Tolerant | None:
    """Standard output, if it has refused something."""
    sys.stdout.flush()
    raw = _raw(sys.stdout)
    return raw if raw and raw.refusal else None


def deliver(text: str, made: str) -> None:
    """Print what a command has come to; where standard output does not take it, say on the other what was made.

    Args:
        text: for standard output.
        made: a sentence that names it and its place.
    """
    print(text)
    if refused := _refused():
        refused.told = True
        print(f"flux2: {_sentence(refused.refusal)} {made}", file=sys.stderr)


def exit_code(code: int) -> int:
    """The exit code of a command that would end with this one; a reader that has had enough (`| head -1`) is fine."""
    refused = _refused()
    if refused is None or refused.told or isinstance(refused.refusal, BrokenPipeError):
        return code
    print(f"flux2: {_sentence(refused.refusal)}", file=sys.stderr)
    return code or FAILED


def _sentence(refusal: OSError | None) -> str:
    if refusal is None or refusal.errno == errno.EBADF:
        return "Standard output is closed."
    return f"Standard output can't be written ({refusal.strerror})."


def read_input(limit: int) -> str:
    """Standard input as UTF-8, up to so many characters at the least; bytes that are none stay as half surrogates.

    Raises:
        RequestError: if it is closed or can't be read.
    """
    if _number(sys.stdin) != 0:
        return sys.stdin.read(limit)
    data = b""
    try:
        while len(data) < 4 * limit and select.select([0], [], []) and (piece := os.read(0, 1 << 16)):
            data += piece
    except OSError as error:
        raise RequestError(
            f"Standard input can't be read ({error.strerror}); give the prompt as an argument."
        ) from error
    return data.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
