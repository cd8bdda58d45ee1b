"""What a client may ask of the worker: a dataclass for each command, and one for each answer that says something.

    run = (await client.ask(Enqueue(GenerationRequest(prompt="a red fox")))).run

`flux2.worker.command_handlers` carries them out. A new command is declared here, gets its handler there, and is asked
by whoever needs it: the wire, the checks and the client follow from its fields, as with `flux2.events`.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, Self, TypeVar, get_args

from flux2.dataclass_json import read_dataclass
from flux2.errors import RequestError, WorkerError
from flux2.paths import absolute
from flux2.request import GenerationRequest
from flux2.worker.local_paths import with_absolute_paths

Answer = TypeVar("Answer")

COMMANDS: dict[str, type[Command[Any]]] = {}
"""Every command by its name on the wire; one is entered by being declared."""


@dataclass(frozen=True)
class Command(Generic[Answer]):
    """Something to be done by the worker, and the type of its answer: a dataclass, None, or either."""

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        COMMANDS[cls.name()] = cls

    @classmethod
    def name(cls) -> str:
        """Name on the wire: "save_again" of SaveAgain."""
        return re.sub("(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def from_here(self) -> Self:
        """Itself as the worker must read it, which runs in another folder: with absolute paths."""
        return self


# --- answers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Queued:
    """A request that will have its turn."""

    run: str
    """Id of the run that the request becomes."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Whether there was anything to cancel."""

    cancelled: bool
    """False where that run is not under way (any more)."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A picture that is on the disk."""

    path: str
    """Where the picture lies now."""


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Length of a prompt, as a model sees it."""

    tokens: int
    """Tokens of the prompt."""
    limit: int
    """The most that the model reads."""


@dataclass(frozen=True, slots=True)
class Freed:
    """Room that a model no longer takes."""

    freed: int
    """Bytes of the disk."""


# --- commands: the queue ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Enqueue(Command[Queued]):
    """Put a request at the queue's end. Refused where no model could carry it out, or the queue is full."""

    request: GenerationRequest

    def from_here(self) -> Self:
        return replace(self, request=with_absolute_paths(self.request))


@dataclass(frozen=True, slots=True)
class Cancel(Command[Cancelled]):
    """End the run under way, after its current step."""

    run: str = ""
    """"" for whichever it is."""
    force: bool = False
    """Whether the worker ends with it, if the engine does not obey within seconds."""


@dataclass(frozen=True, slots=True)
class Remove(Command[None]):
    """Take a waiting request out of the queue."""

    run: str


@dataclass(frozen=True, slots=True)
class Replace(Command[None]):
    """Put another request in the place of a waiting one."""

    run: str
    request: GenerationRequest

    def from_here(self) -> Self:
        return replace(self, request=with_absolute_paths(self.request))


@dataclass(frozen=True, slots=True)
class Move(Command[None]):
    """Let a waiting request change places with its neighbours."""

    run: str
    by: int
    """Places towards the queue's end; earlier where that is negative."""


@dataclass(frozen=True, slots=True)
class Hold(Command[None]):
    """Keep what waits from starting once the run under way has ended, or let it go on."""

    on: bool


# --- commands: unfinished runs ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Resume(Command[Queued]):
    """Take an unfinished run up before all others, from its last kept step."""

    run: str


@dataclass(frozen=True, slots=True)
class Discard(Command[None]):
    """Forget an unfinished run, with what was kept of it."""

    run: str


@dataclass(frozen=True, slots=True)
class SaveAgain(Command[Saved]):
    """Save a kept picture that could not be saved."""

    run: str
    path: str = ""
    """A file or a folder; "" for where it was to go."""

    def from_here(self) -> Self:
        return replace(self, path=absolute(self.path)) if self.path else self


# --- commands: models -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CountTokens(Command[TokenCount | None]):
    """Count what a prompt is to a model; None where that one's files are not here."""

    model: str
    prompt: str


@dataclass(frozen=True, slots=True)
class StartDownload(Command[None]):
    """Fetch a model, or go on with it; `flux2.events.DownloadProgress` tells how far it is."""

    model: str


@dataclass(frozen=True, slots=True)
class PauseDownload(Command[None]):
    """Stop a download for now; a run that needs the model waits."""

    model: str


@dataclass(frozen=True, slots=True)
class CancelDownload(Command[None]):
    """End a download; what has come is kept. A run that needs the model fails."""

    model: str


@dataclass(frozen=True, slots=True)
class DeleteModel(Command[Freed]):
    """Remove a model from the disk. Refused while pictures wait to be made with it."""

    model: str


@dataclass(frozen=True, slots=True)
class Unload(Command[None]):
    """Free the model's memory as soon as nothing runs."""


# --- commands: the process --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Quit(Command[None]):
    """Let the worker end once its queue is empty."""

    now: bool = False
    """Whether the run under way is broken off; it can be taken up again, and the queue is kept on the disk."""


@dataclass(frozen=True, slots=True)
class Ping(Command[None]):
    """Answer, and do nothing."""


# --- over the wire ----------------------------------------------------------------------------------------------------


def read_command(name: str, arguments: dict[str, Any]) -> Command[Any]:
    """A command out of JSON.

    Raises:
        RequestError: if the request in it has a value of a wrong type.
        WorkerError: if there is no such command, or an argument is missing or of another type.
    """
    cls = COMMANDS.get(name)
    if cls is None:
        raise WorkerError(
            f"This worker has no command {name[:40]!r}; `flux2 worker stop` ends it, and the next one is of the "
            "version that you asked with."
        )
    try:
        return read_dataclass(cls, arguments)
    except RequestError:
        raise
    except ValueError as error:
        raise WorkerError(f"The command {name} can't be read: {error}.") from error


def write_answer(answer: Any) -> dict[str, Any]:
    """An answer as the `result` of a `flux2.worker.protocol.Reply`; {} for None."""
    return {} if answer is None else asdict(answer)


def read_answer(command: Command[Answer], result: dict[str, Any]) -> Answer:
    """Undo `write_answer`, with the type that the command declares.

    Raises:
        WorkerError: if the result is not of that type.
    """
    (declared,) = get_args(type(command).__orig_bases__[0])  # type: ignore[attr-defined]
    kinds = get_args(declared) or (declared,)
    if (type(None) in kinds and not result) or declared is None:
        return None  # type: ignore[return-value]
    try:
        return read_dataclass(kinds[0], result)  # type: ignore[no-any-return]
    except ValueError as error:
        raise WorkerError(f"The worker's answer to {command.name()} can't be read: {error}.") from error
