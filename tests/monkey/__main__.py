"""A random tester of the screen: `python -m tests.monkey --seed 1 --operations 5000`.

Presses, pastes, clicks and resizes by chance while a worker runs, fails and dies and files change, and looks whether
what must hold does. The same seed does the same. What fails is printed as the shortest list of operations that fails,
which `--replay FILE` does again. `--pty` takes the real program in a real terminal, with a real worker.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.monkey.episode import Episode, Failure, episode, run, without
from tests.monkey.operations import Operation, counted, read_operations
from tests.monkey.shrinking import shortest
from tests.virtual_time import real_now

_SAY_EVERY = 10
"""Episodes between two lines that say how far it is."""


def main() -> int:
    """
    Returns:
        The exit code: 1 if anything failed.
    """
    options = _parser().parse_args()
    _fix_hashes()
    if options.pty:
        from tests.monkey.real_terminal import run_in_terminal

        return run_in_terminal(options.seed, options.operations)
    if options.replay:
        failure = run(read_episode(options.replay))
        print(failure.what if failure else "All holds.")
        return failure is not None
    return _explore(options.seed, options.operations, stop_after=options.failures)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.monkey", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the first episode; the next has the next")
    parser.add_argument("--operations", type=int, default=500)
    parser.add_argument("--failures", type=int, default=5, help="so many are shortened and printed before it ends")
    parser.add_argument("--replay", type=Path, default=None, help="a file with what was printed of a failure")
    parser.add_argument("--pty", action="store_true", help="the real program in a real terminal")
    return parser


def _fix_hashes() -> None:
    """Sets have the same order in every run, and so has whatever goes through one."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.monkey", *sys.argv[1:]])


def _explore(seed: int, operations: int, stop_after: int) -> int:
    """Episode after episode until so many operations are done."""
    began, done, failures, episodes = real_now(), 0, 0, 0
    while done < operations and failures < stop_after:
        tried = episode(seed + episodes)
        failure = run(tried)
        done, episodes = done + counted(tried.operations), episodes + 1
        if failure:
            failures += 1
            print(f"Failed in episode {tried.seed}: {failure.what}", flush=True)
            print(*write_episode(_shortened(tried, failure)), sep="\n", flush=True)
        if episodes % _SAY_EVERY == 0:
            print(f"{done} operations, {failures} failed, {done / (real_now() - began):.1f} a second", flush=True)
    print(f"{done} operations in {episodes} episodes, {failures} failed, {real_now() - began:.0f} s")
    return failures > 0


def _shortened(tried: Episode, failure: Failure) -> Episode:
    def fails(operations: Sequence[Operation]) -> bool:
        again = run(without(tried, operations))
        return again is not None and again.rule == failure.rule

    return without(tried, shortest(tried.operations, fails))


def write_episode(tried: Episode) -> list[str]:
    """Lines, as `read_episode` reads them: seed, columns and rows; then an operation each."""
    columns, rows = tried.size
    return [f"{tried.seed} {columns} {rows}", *(operation.line for operation in tried.operations)]


def read_episode(path: Path) -> Episode:
    """
    Raises:
        ValueError: if the file is none that `write_episode` has written.
    """
    first, *lines = path.read_text("utf-8").splitlines()
    seed, columns, rows = map(int, first.split())
    return Episode(seed, (columns, rows), tuple(read_operations(lines)))


if __name__ == "__main__":
    sys.exit(main())
