"""The committed measurements reach what they have to, are planned, and are what the README says."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from flux2.bench import readme
from flux2.bench.comparison import Comparison
from flux2.bench.document import Figure
from flux2.bench.results import all_comparisons, machine, read_all
from flux2.bench.targets import MISSES, UNMEASURED, Key, all_targets, applies

PLANNED_WITHIN = 0.05
SLACK = 0.25  # MiB, for what is too small to plan
FIGURES = list(all_comparisons())


def title(found: tuple[dict[str, Any], Figure, Comparison]) -> str:
    report, _, comparison = found
    key = comparison.key
    return f"{machine(report)}-{key.figure}-{key.model}-{key.quantization}-{key.residency}-{key.side}"


@pytest.mark.parametrize("found", FIGURES, ids=title)
def test_reaches_its_target_unless_it_is_listed_as_missed(found: tuple[dict[str, Any], Figure, Comparison]) -> None:
    _, _, comparison = found
    if comparison.met is None:
        assert comparison.target is None
        return
    listed = any(applies(key, comparison.key) for key in MISSES)
    assert comparison.met or listed, f"{comparison.measured:,.0f} MiB, wanted {comparison.target:,}"


def test_what_is_listed_as_missed_is_missed() -> None:
    missed = [found.key for _, _, found in FIGURES if found.met is False]
    assert [key for key in MISSES if not any(applies(key, other) for other in missed)] == []
    assert all(reason.endswith(".") for reason in MISSES.values())


def test_every_target_was_measured_or_is_listed_as_not() -> None:
    measured = {found.key for _, _, found in FIGURES if found.target is not None}
    open_targets = [key for key, _ in all_targets() if not any(applies(key, other) for other in measured)]
    assert [key for key in open_targets if not any(applies(listed, key) for listed in UNMEASURED)] == []
    assert [listed for listed in UNMEASURED if not any(applies(listed, key) for key in open_targets)] == []


@pytest.mark.parametrize("found", FIGURES, ids=title)
def test_is_planned(found: tuple[dict[str, Any], Figure, Comparison]) -> None:
    _, figure, comparison = found
    if figure.in_plan and comparison.planned is not None:
        expected = pytest.approx(comparison.measured, rel=PLANNED_WITHIN, abs=SLACK)
        assert comparison.planned == expected


def test_says_on_what_it_was_measured() -> None:
    for kind in ("bench", "peers", "scaling", "bounds"):
        for report in read_all(kind):
            facts = report["conditions"]
            assert report["command"]
            assert facts["commit"]
            assert facts["chip"]
            assert facts["versions"]["mlx"]
            assert "load_average" in facts


def test_the_same_figure_is_the_same_wherever_it_was_measured() -> None:
    """Weights in memory are arithmetic: they must not depend on the machine."""
    found: dict[Key, set[int]] = defaultdict(set)
    for _, figure, comparison in FIGURES:
        if figure.key == "transformer_active" and comparison.key.residency == "resident":
            found[comparison.key].add(round(comparison.measured))
    assert {key: values for key, values in found.items() if len(values) > 1} == {}


def test_the_readme_says_what_was_measured() -> None:
    text = readme.README.read_text(encoding="utf-8")
    assert readme.render(text) == text, "run `python -m flux2.bench.readme`"


def test_a_readme_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="no markers for 'memory'"):
        readme.render("nothing")
