"""A list of operations, done from the first to the last in a world of their own; what breaks, if anything."""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.monkey.invariants import check, go_home, grown, held_by, press_offered, repaint
from tests.monkey.moves import Draw
from tests.monkey.operations import REST, Operation, counted
from tests.monkey.world import BrokenRuleError, World, a_world, surroundings
from tests.virtual_time import HungError, StandstillError, VirtualLoop, at_most, virtual_time

LENGTH = 100
"""Operations of an episode: enough for what lies deep, few enough to be done over and over when one fails."""
PATIENCE = 20.0
"""Seconds of processor time that a single operation, or a look, may take."""


@dataclass(frozen=True, slots=True)
class Episode:
    seed: int
    """Seed of what is left to chance besides the operations: how long threads and the worker's answers take."""
    size: tuple[int, int]
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    rule: str
    """What did not hold."""
    what: str


def episode(seed: int, length: int = LENGTH) -> Episode:
    """The episode of this seed, with so many operations or a few more."""
    draw = Draw(random.Random(seed))
    size, operations = draw.size, list[Operation]()
    while counted(operations) < length:
        operations += draw.batch()
    return Episode(seed, size, tuple(operations))


def run(tried: Episode) -> Failure | None:
    """Do it; None where everything held."""
    folder = Path(tempfile.mkdtemp(prefix="flux2-monkey-"))
    chance = random.Random(tried.seed)
    loop = VirtualLoop(chance)
    streams = sys.stdout, sys.stderr
    try:
        with surroundings(folder), virtual_time(), at_most(PATIENCE) as rewind:
            loop.run_until_complete(_live(tried, folder, chance, rewind))
    except BrokenRuleError as broken:
        return Failure(broken.rule, str(broken))
    except (HungError, StandstillError) as error:
        return Failure("it never hangs", str(error))
    finally:
        sys.stdout, sys.stderr = streams  # which the program keeps if it is not let end
        _close(loop)
        shutil.rmtree(folder, ignore_errors=True)
    return None


async def _live(tried: Episode, folder: Path, chance: random.Random, rewind: Callable[[], None]) -> None:
    """All operations, then home and out, where nothing may have been left behind."""
    async with a_world(folder, chance, tried.size) as world:
        held = await held_by(world)
        for operation in (*tried.operations, REST):
            rewind()
            if operation.kind == "offered":
                await press_offered(world, int(operation.numbers[0]))
            elif operation != REST:
                await world.perform(operation)
            else:
                await world.settle()
                if world.left:
                    await world.ended()
                    await world.start()
                check(world)
        rewind()
        await repaint(world)
        await go_home(world)
        check(world)
        await _nothing_is_left_behind(world, held)
        await world.leave()


async def _nothing_is_left_behind(world: World, held: Counter[str]) -> None:
    if more := grown(held, await held_by(world)):
        raise BrokenRuleError("nothing is left behind", more)


def _close(loop: VirtualLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # that a failed episode leaves some is no news
    loop.close()


def without(tried: Episode, operations: Sequence[Operation]) -> Episode:
    return replace(tried, operations=tuple(operations))
