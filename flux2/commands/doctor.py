"""`flux2 doctor`: check this machine, and print a report to paste into an issue."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from flux2.doctor.finding import Finding

_Found = tuple[str, Finding]

_DESCRIPTION = """\
Check in about a minute that this machine does what the program relies on: the system, MLX's arithmetic, pictures of
the embedded model at every quantization, the worker. Nothing is downloaded, and nothing stays behind. The report names
no token and no user; paste it into an issue."""


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description = _DESCRIPTION
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from flux2.doctor.report import as_text, private, run_checks

    findings: list[_Found] = []
    for line in as_text(_kept(run_checks(), findings)):
        if not args.json:
            print(line, flush=True)
    wrongs = sum(finding.state == "wrong" for _, finding in findings)
    if args.json:
        print(
            json.dumps(
                [
                    {"section": section, **{key: private(value) for key, value in asdict(finding).items()}}
                    for section, finding in findings
                ]
            )
        )
    else:
        found = f"{wrongs} of {len(findings)} checks found something wrong; paste all of this into an issue."
        print(f"\n{found if wrongs else 'All is well.'}")
    return int(wrongs > 0)


def _kept(findings: Iterable[_Found], into: list[_Found]) -> Iterator[_Found]:
    """The findings, as they pass."""
    for found in findings:
        into.append(found)
        yield found
