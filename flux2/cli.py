"""`flux2`, the command line: reads the arguments, runs a command, says in one sentence what went wrong.

Exit codes: 0 done, 1 failed, 2 bad arguments, 130 (or 128 + signal) cancelled. What was made is done, even if standard
output takes no word of it; a listing that it does not take has failed, unless its reader has left (`| head -1`).
Commands are in `flux2.commands`; none imports MLX or transformers before it needs them, so that help and listings come
at once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from flux2 import __version__, complaints, streams
from flux2.backend.gpu_errors import sentence_for
from flux2.commands.cancelling import Cancelled, heeding_signals
from flux2.errors import Flux2Error, RequestError
from flux2.humanize import printable

FAILED, BAD_ARGUMENTS = 1, 2

_EXAMPLES = """\
examples:
  flux2 t2i "a red fox in the snow"
  flux2 t2i "a red fox in the snow" --model klein-4b --transformer-quant int4 --output fox.png
  flux2 edit "the same at night" --image fox.png
  flux2 models
  flux2 info fox.png

`flux2 COMMAND -h` explains a command; `flux2-tui` opens the dashboard."""


COMMANDS = {
    "t2i": "make a picture from a text",
    "edit": "make a picture from pictures and a text",
    "models": "list the known models; download or delete one",
    "info": "show how a picture was made",
    "plan": "say how much memory a run will take",
    "quantize": "keep a model's quantized weights, to load faster",
    "worker": "look at the dashboard's worker process, or end it",
    "bench": "measure memory and time of the models on this machine",
    "doctor": "check this machine, and print a report",
}
"""A line of help for each command, the name of whose module in `flux2.commands` is its own."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """What the arguments say. The command's module alone is imported: the others' would take longer than the help.

    Raises:
        SystemExit: if they make no sense, or ask for help, once all is said.
    """
    parser = argparse.ArgumentParser(
        prog="flux2",
        description="FLUX.2 image generation on Apple's MLX, quantized on the fly.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"flux2-tui {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    asked = next((argument for argument in arguments if not argument.startswith("-")), "")
    for name, line in COMMANDS.items():
        command = commands.add_parser(
            name, help=line, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        if name == asked:
            import_module(f"flux2.commands.{name}").fill(command)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    streams.prepare()
    with heeding_signals():
        for complaint in complaints:
            print(f"flux2: {printable(complaint)}", file=sys.stderr)
        try:
            args = parse(sys.argv[1:] if arguments is None else arguments)
        except SystemExit as end:
            raise SystemExit(streams.exit_code(end.code if isinstance(end.code, int) else 0)) from None
        except Cancelled as cancelled:
            return 128 + cancelled.signal
        try:
            return streams.exit_code(_run(args))
        except Cancelled as cancelled:
            return streams.exit_code(_complain(args, "Cancelled; nothing was saved.", 128 + cancelled.signal))


def _run(args: argparse.Namespace) -> int:
    """Carry the command out; what goes wrong is said."""
    try:
        code: int = args.run(args)
        return code
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
