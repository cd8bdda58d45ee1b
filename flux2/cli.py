"""`flux2`, the command line: reads the arguments, runs a command, says in one sentence what went wrong.

Exit codes: 0 done, 1 failed, 2 bad arguments, 130 (or 128 + signal) cancelled. Commands are in `flux2.commands`;
none imports MLX or transformers before it needs them, so that help and listings come at once.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence

from flux2 import __version__
from flux2.commands import bench, doctor, info, models, plan, quantize, t2i, worker
from flux2.commands.cancelling import Cancelled
from flux2.errors import Flux2Error, RequestError
from flux2.gpu_errors import sentence_for
from flux2.humanize import printable

FAILED, BAD_ARGUMENTS = 1, 2

_EXAMPLES = """\
examples:
  flux2 t2i "a red fox in the snow"
  flux2 t2i "a red fox in the snow" --model klein-4b --transformer-quant int4 --output fox.png
  flux2 models
  flux2 info fox.png

`flux2 COMMAND -h` explains a command; `flux2-tui` opens the dashboard."""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flux2",
        description="FLUX.2 image generation on Apple's MLX, quantized on the fly.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"flux2-tui {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (t2i, models, info, plan, quantize, worker, bench, doctor):
        command.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: a terminal that can't show × must not fail
    args = build_parser().parse_args(arguments)
    try:
        code: int = args.run(args)
        sys.stdout.flush()  # here, where a reader that is gone can still be noticed
        return code
    except Cancelled as cancelled:
        return _complain(args, "Cancelled; nothing was saved.", 128 + cancelled.signal)
    except KeyboardInterrupt:
        return _complain(args, "Cancelled; nothing was saved.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `flux2 models | head -1` is no failure
        return 0
    except Exception as error:
        if os.environ.get("FLUX2_DEBUG"):
            raise
        if isinstance(error, Flux2Error):
            return _complain(args, str(error), BAD_ARGUMENTS if isinstance(error, RequestError) else FAILED)
        words = f"{type(error).__name__}: {error}"
        unexpected = f"Unexpected {words}. FLUX2_DEBUG=1 shows where it comes from."
        return _complain(args, sentence_for(words, unexpected), FAILED)


def _complain(args: argparse.Namespace, message: str, code: int) -> int:
    """The sentence on stderr and, where JSON was asked for, also as the one line on stdout."""
    print(f"flux2: {printable(message)}", file=sys.stderr)
    if getattr(args, "json", False):
        print(json.dumps({"error": message, "exit_code": code}))
    return code


if __name__ == "__main__":
    sys.exit(main())
