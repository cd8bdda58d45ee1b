"""The committed measurements reach what they have to, are planned, and are what the pages say."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flux2.bench.comparison import Comparison
from flux2.bench.document import Figure
from flux2.bench.research import readme, speed_targets
from flux2.bench.research.recorded import FOLDER, all_comparisons, machine, read_all
from flux2.bench.research.scaling import GROWING
from flux2.bench.research.speed_targets import Judged, judge
from flux2.bench.targets import MISSES, UNMEASURED, UNPLANNED, Key, all_targets, applies

PLANNED_WITHIN, LISTED_WITHIN = 0.05, 0.25
SLACK = 0.25  # MiB, for what is too small to plan
FIGURES = list(all_comparisons())
SPEEDS = [(report, found) for kind in ("peers", "bounds") for report in read_all(kind) for found in judge(report)]


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
    report, figure, comparison = found
    if figure.in_plan and comparison.planned is not None:
        within = PLANNED_WITHIN
        if comparison.key in UNPLANNED and report["conditions"]["backend"] == "gpu":
            within = LISTED_WITHIN
        assert comparison.planned == pytest.approx(comparison.measured, rel=within, abs=SLACK)


def test_what_is_listed_as_unplanned_is_so_and_sets_no_peak() -> None:
    found = {found.key: found for report, _, found in FIGURES if report["conditions"]["backend"] == "gpu"}
    for key in UNPLANNED:
        difference = found[key].difference
        assert difference is not None
        assert abs(difference) > 100 * PLANNED_WITHIN, key
        peak = found[replace(key, figure="generation_peak")]
        assert found[key].measured < peak.measured
    assert not any(key.figure == "generation_peak" for key in UNPLANNED)


@pytest.mark.parametrize(
    ("report", "found"),
    SPEEDS,
    ids=[f"{machine(report)}-{found.goal.model}-{found.goal.what}" for report, found in SPEEDS],
)
def test_is_as_fast_as_wanted_unless_it_is_listed_as_missed(report: dict[str, Any], found: Judged) -> None:
    listed = found.goal in speed_targets.MISSES
    assert found.met or listed, f"{machine(report)}: {found.goal.what} {found.value:.2f}, wanted {found.limit}"


def test_speeds_that_are_listed_as_missed_are_missed() -> None:
    missed = {found.goal for _, found in SPEEDS if not found.met}
    assert [goal for goal in speed_targets.MISSES if goal not in missed] == []
    assert all(reason.endswith(".") for reason in speed_targets.MISSES.values())


def test_every_file_is_of_a_known_kind_and_complete() -> None:
    kinds = ("bench", "peers", "scaling", "bounds")
    assert sum(len(read_all(kind)) for kind in kinds) == len(list(FOLDER.glob("*.json")))
    for kind in kinds:
        for report in read_all(kind):
            assert not report.get("failed")
    for report in read_all("bench"):
        assert not any("error" in cell for cell in report["cells"])
    for report in read_all("scaling"):
        assert all(row["median"] > 0 and row["part"] in GROWING for row in report["rows"])


@pytest.mark.parametrize(
    ("backend", "seconds", "missed"),
    [
        ("gpu", {"ours bf16": 70, "diffusers": 82, "mflux bf16": 89, "mflux bf16 compiled": 80}, []),
        ("gpu", {"ours bf16": 75, "diffusers": 82, "mflux bf16": 89}, ["step, times diffusers's"]),
        ("gpu", {"ours bf16": 70, "ours int4": 78, "ours qint8": 76}, ["step of ours int4, times bf16's"]),
        ("cpu", {"ours bf16": 90, "diffusers": 82, "mflux bf16": 89}, ["step, times mflux bf16's"]),
    ],
)
def test_judges_a_race(backend: str, seconds: dict[str, float], missed: list[str]) -> None:
    rows = [
        {"name": name, "median": median, "relative_error": 0.01, "peak_above_weights": 786 * 2**20}
        for name, median in seconds.items()
    ]
    work = {"model": "klein-4b", "divisor": 1, "width": 1024, "height": 1024}
    report = {"conditions": {"backend": backend}, "work": work, "step": {"contenders": [*rows, {"name": "stopped"}]}}
    assert [found.goal.what for found in judge(report) if not found.met] == missed


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


@pytest.mark.parametrize("page", readme.PAGES, ids=lambda page: page.parent.name)
def test_the_pages_say_what_was_measured(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert readme.render(page, text) == text, "run `python -m flux2.bench.research.readme`"


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="no markers for 'older'"):
        readme.render(readme.RESULTS, "nothing")


def test_the_readme_is_short_and_names_the_page_of_figures() -> None:
    text = readme.README.read_text(encoding="utf-8")
    assert text.count("\n") <= 200
    assert str(readme.RESULTS.relative_to(readme.README.parent)) in text


def test_every_picture_and_page_that_a_page_names_is_there() -> None:
    for page in readme.PAGES:
        links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
        assert links
        assert [link for link in links if not (page.parent / link).exists()] == []
