"""`flux2-tui`: read the arguments, prepare the terminal, let the worker boot meanwhile, show the dashboard."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING

from flux2 import __version__, streams
from flux2.errors import WorkerError
from flux2.paths import socket_path
from flux2.settings import GRAPHICS, settings
from flux2.worker.launch import start
from tui.terminal import garbage
from tui.terminal.probe import (
    choose_graphics,
    is_remote,
    prepare_environment,
    trust_own_size,
    what_is_missing,
    without_echo,
)

if TYPE_CHECKING:
    from tui.state.worker import Worker

EXIT_NO_TERMINAL = 2
EXIT_CANCELLED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the dashboard until the user leaves.

    Returns:
        The exit code.
    """
    garbage.put_off()
    options = _parser().parse_args(arguments)
    streams.prepare()
    if missing := what_is_missing():
        print(missing, file=sys.stderr)
        return EXIT_NO_TERMINAL
    with without_echo():
        try:
            return _show(options)
        except KeyboardInterrupt:
            return EXIT_CANCELLED
        except Exception as error:
            from tui.terminal.endings import could_not_start

            return could_not_start(error)


def _show(options: argparse.Namespace) -> int:
    chosen = settings()
    notes = prepare_environment(chosen.fps)
    trust_own_size()
    early = _start_worker_early(options.socket or socket_path())
    return _run(options, choose_graphics(options.graphics or chosen.graphics), early, notes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flux2-tui",
        description="FLUX.2 image generation with a live dashboard. Pictures are made by a worker process that goes on "
        "when this screen is closed or its connection drops.",
    )
    parser.add_argument("--model", default="", help="a catalog name, a Hub repository, or a folder")
    parser.add_argument("--theme", default="", help="name of a theme (t shows them all)")
    parser.add_argument(
        "--graphics",
        choices=GRAPHICS,
        default="",
        help="how finished pictures are drawn, in place of the settings'; while they form it is always half-cells",
    )
    parser.add_argument("--glyphs", choices=("auto", "braille", "block", "ascii"), default="auto", help="for graphs")
    parser.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")
    parser.add_argument("--socket", type=Path, default=None, help="the worker's socket, if not the user's usual one")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _start_worker_early(path: Path) -> Popen[bytes] | None:
    """Let the worker import MLX while Textual is imported. What fails here is tried again, and told, by the screen."""
    if path.exists():
        return None  # a worker's, most likely; the screen starts one if it is a dead one's
    with contextlib.suppress(WorkerError):
        return start(path)
    return None


def _run(options: argparse.Namespace, graphics: str, early: Popen[bytes] | None, notes: Sequence[str]) -> int:
    from tui.app import Flux2App
    from tui.program import Options
    from tui.terminal.glyphs import GLYPHS, best_glyphs
    from tui.terminal.picture import bearable

    def make_worker() -> Worker:
        from tui.state.link import UserWorker

        garbage.begin()
        return UserWorker(options.socket, early)

    app = Flux2App(
        make_worker,
        Options(
            theme=options.theme,
            model=options.model,
            graphics=bearable(graphics),
            glyphs=GLYPHS.get(options.glyphs) or best_glyphs(),
            remote=is_remote(),
            notes=notes,
        ),
    )
    app.endings.heed_signals()
    try:
        app.run(mouse=not options.no_mouse)
    except BaseException as error:
        return app.endings.broke_off(error)
    return app.return_code or 0


if __name__ == "__main__":
    sys.exit(main())
