"""Commands as they travel, and a worker's thread that carries out one which nobody knew before."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from flux2.asker import Asker
from flux2.errors import RequestError, WorkerError
from flux2.paths import socket_path, state_dir
from flux2.request import GenerationRequest
from flux2.worker import access
from flux2.worker.client import WorkerClient, connect
from flux2.worker.command_handlers import CommandHandlers
from flux2.worker.commands import (
    COMMANDS,
    Cancel,
    Command,
    CountTokens,
    Enqueue,
    Freed,
    Hold,
    Move,
    Ping,
    Queued,
    Quit,
    SaveAgain,
    TokenCount,
    read_answer,
    read_command,
    write_answer,
)
from flux2.worker.journal import Journal
from flux2.worker.protocol import WorkerInfo
from flux2.worker.server import Server

REQUEST = GenerationRequest(prompt="a fox", model="pocket", guidance=4.0, seed=3)


@pytest_asyncio.fixture
async def client(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WorkerClient]:
    """Attached to a worker's socket thread in this process, whose main thread never asks for a task."""
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    info = WorkerInfo(pid=os.getpid(), version="test", started=0.0, log=str(tmp_path / "log"))
    counted = {"pocket": (3, 512)}
    server = Server(
        access.listen(socket_path()),
        info,
        Journal(state_dir()),
        count_tokens=lambda model, _: counted.get(model),
        idle_timeout=1e6,
        grace=1e6,
    )
    server.start()
    attached = await connect()
    yield attached
    await attached.close()
    await asyncio.to_thread(server.close)


@pytest.mark.parametrize("command", [Enqueue(REQUEST), Cancel("r"), Move("r", -1), Hold(True), Ping(), Quit(now=True)])
def test_a_command_is_read_as_it_was_written(command: Command[Any]) -> None:
    assert read_command(command.name(), asdict(command)) == command


def test_the_names_on_the_wire_stay() -> None:
    """A worker that runs on while the program is updated is asked by them."""
    assert {
        name: [*cls.__dataclass_fields__]
        for name, cls in COMMANDS.items()  # type: ignore[attr-defined]
    } == {
        "enqueue": ["request"],
        "cancel": ["run", "force"],
        "remove": ["run"],
        "replace": ["run", "request"],
        "move": ["run", "by"],
        "hold": ["on"],
        "resume": ["run"],
        "discard": ["run"],
        "save_again": ["run", "path"],
        "count_tokens": ["model", "prompt"],
        "start_download": ["model"],
        "pause_download": ["model"],
        "cancel_download": ["model"],
        "delete_model": ["model"],
        "unload": [],
        "quit": ["now"],
        "ping": [],
    }


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("rm", {}, "no command 'rm'"),
        ("", {}, "no command"),
        ("cancel", {"run": 3, "force": True}, "run is 3, not str"),
        ("cancel", {"run": "", "force": 1}, "force is 1, not bool"),
        ("hold", {}, "on is missing"),
        ("move", {"run": "r", "by": 1.5}, "by is 1.5, not int"),
        ("enqueue", {"request": 3}, "request is 3"),
        ("enqueue", {"request": {"prompt": 3}}, "no prompt"),
        ("enqueue", {"request": {"prompt": "a", "seed": "x"}}, "seed is 'x'"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_in_words(name: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises((RequestError, WorkerError), match=words):
        read_command(name, arguments)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (Enqueue(REQUEST), Queued("r")),
        (Hold(True), None),
        (CountTokens("pocket", "a fox"), TokenCount(2, 512)),
        (CountTokens("pocket", "a fox"), None),
    ],
)
def test_an_answer_is_read_as_it_was_written(command: Command[Any], answer: object) -> None:
    assert read_answer(command, write_answer(answer)) == answer


@pytest.mark.parametrize("result", [{}, {"run": 3}, {"freed": 1}])
def test_an_answer_of_another_kind_is_told(result: dict[str, Any]) -> None:
    with pytest.raises(WorkerError, match="answer to enqueue can't be read: run is"):
        read_answer(Enqueue(REQUEST), result)


def test_relative_paths_are_sent_as_they_are_meant_here(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert SaveAgain("r", "fox.png").from_here() == SaveAgain("r", str(tmp_path / "fox.png"))
    assert SaveAgain("r").from_here() == SaveAgain("r")
    asked = GenerationRequest(prompt="a fox", output="fox.png")
    assert Enqueue(asked).from_here().request.output == str(tmp_path / "fox.png")


async def test_commands_are_answered_with_their_types(client: WorkerClient) -> None:
    queued = await client.ask(Enqueue(REQUEST))
    assert isinstance(queued, Queued)
    assert await client.ask(CountTokens("pocket", "a red fox")) == TokenCount(3, 512)
    assert await client.ask(CountTokens("elsewhere", "a red fox")) is None
    assert await client.ask(Hold(True)) is None
    with pytest.raises(WorkerError, match="is not waiting"):
        await client.ask(Move("gone", 1))
    await client.ask(Ping())


async def test_a_new_command_touches_its_declaration_its_handler_and_its_caller(client: WorkerClient) -> None:
    @dataclass(frozen=True, slots=True)
    class AddUp(Command[Freed]):
        """The sum of some numbers."""

        numbers: tuple[int, ...]

    def add_up(_: CommandHandlers, command: AddUp, __: Asker) -> Freed:
        return Freed(sum(command.numbers))

    with pytest.raises(WorkerError, match="no handler"):
        await client.ask(AddUp((1, 2)))
    CommandHandlers.carry_out.register(AddUp, add_up)
    try:
        assert (await client.ask(AddUp((1, 2, 39)))).freed == 42
        with pytest.raises(WorkerError, match="numbers is 'x', not int"):
            await client.ask(AddUp(("x",)))  # type: ignore[arg-type]
    finally:
        del COMMANDS["add_up"]
    with pytest.raises(WorkerError, match="no command 'add_up'"):
        await client.ask(AddUp((1, 2)))
    await client.ask(Ping())


async def test_many_at_once_have_each_its_own_answer(client: WorkerClient) -> None:
    asked = [partial(client.ask, CountTokens("pocket", "x")), partial(client.ask, Ping())] * 5
    assert await asyncio.gather(*(ask() for ask in asked)) == [TokenCount(3, 512), None] * 5
