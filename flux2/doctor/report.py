"""All checks in their order, and the report that goes into an issue."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

from flux2.backend.gpu_errors import sentence_for
from flux2.doctor.finding import Finding, wrong

SECTIONS = {
    "System": ("system", ("check_machine", "check_power", "check_memory", "check_folders", "check_terminal")),
    "MLX": ("arithmetic", ("check_device", "check_operations", "check_speed")),
    "Models": ("models", ("check_models", "check_reading", "check_fit")),
    "Pictures": ("pictures", ("check_pictures",)),
    "Worker": ("worker", ("check_worker",)),
}
"""Module of this package and its checks. Each is imported when its turn comes: one that can't be, because MLX finds no
library of its own, say, must not hide what the others find."""

MARKS = {"ok": "✓", "note": "!", "wrong": "✗"}


def run_checks() -> Iterator[tuple[str, Finding]]:
    """Every check's findings as they come, with the section they belong to; a check that fails is a finding, too.

    What several checks fail with, such as no GPU, is told once.
    """
    told: set[str] = set()
    for section, (module, checks) in SECTIONS.items():
        for check in checks:
            try:
                for finding in getattr(import_module(f"flux2.doctor.{module}"), check)():
                    yield section, finding
            except Exception as error:  # whatever it is: the report is what tells of it
                if str(error) not in told:
                    yield section, _failed(error)
                told.add(str(error))


def as_text(findings: Iterable[tuple[str, Finding]]) -> Iterator[str]:
    """Lines of the report; the home folder, which has the user's name in it, is written as ~."""
    section = ""
    for title, finding in findings:
        if title != section:
            section = title
            yield f"{title}"
        yield f"  {MARKS[finding.state]} {private(finding.what)}"
        if finding.remedy:
            yield f"      {private(finding.remedy)}"


def private(text: str) -> str:
    """Without the user's name, as far as paths tell it."""
    return text.replace(str(Path.home()), "~").replace(os.path.realpath(Path.home()), "~")


def _failed(error: Exception) -> Finding:
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}:{last.lineno}"
    told = str(error).strip().splitlines() or [""]
    return wrong(
        f"{type(error).__name__} at {where}: {told[0]}",
        sentence_for(str(error), "Report this with the whole of this report."),
    )
