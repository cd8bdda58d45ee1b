"""What references cost is said before a run, and what would do where there is no memory for them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from flux2.architecture.catalog import find_card
from flux2.cli import main
from flux2.errors import RequestError
from flux2.inputs.attachment import Attachment
from flux2.planning.budget import Budget
from flux2.planning.cautions import cautions
from flux2.planning.fit import SMALLER_REFERENCES, alternatives, facts_of, weigh
from flux2.planning.run_facts import Engine
from flux2.planning.step_work import growth, told_growth
from flux2.request import GenerationRequest
from flux2.store.configs import Networks, find_networks

GIB = 2**30
MAC = Engine()


def asked(count: int, side: int = 1024, model: str = "klein-4b") -> GenerationRequest:
    picture = Attachment(digest="0" * 64, name="cat.png", width=side, height=side)
    return GenerationRequest(
        prompt="a fox", model=model, references=(picture,) * count, width=1024, height=1024, max_sequence_length=512
    )


def room(limit: float) -> Budget:
    return Budget(limit=int(limit * GIB), available=int(limit * GIB))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("klein-4b", {1: 2.20, 2: 3.70, 4: 7.59, 10: 26.4}),
        ("klein-9b", {1: 2.14, 4: 6.95, 6: 11.3}),
        ("dev", {1: 2.06, 3: 4.68, 10: 19.0}),
    ],
)
def test_the_growth_of_a_step_is_that_of_its_multiplications(model: str, expected: dict[int, float]) -> None:
    networks = find_networks(model)
    for count, times in expected.items():
        facts = facts_of(asked(count, model=model), networks, MAC)
        assert growth(networks.transformer, facts) == pytest.approx(times, rel=0.01)


def told(networks: Networks, request: GenerationRequest) -> str:
    return told_growth(networks.transformer, facts_of(request, networks, MAC))


def test_it_is_told_in_a_sentence() -> None:
    networks = find_networks("klein-4b")
    assert told(networks, asked(4)) == "4 references: each step takes 7.6 × as long"
    assert told(networks, asked(1)).startswith("1 reference: ")
    assert told(networks, asked(0)) == ""
    cached = find_networks("klein-9b-kv")
    assert "the first step takes 3.5 × as long, each further one 1." in told(cached, asked(2, model="klein-9b-kv"))


def test_where_they_do_not_fit_smaller_ones_are_offered_before_a_smaller_picture() -> None:
    networks = find_networks("klein-9b")
    request = asked(10, model="klein-9b")
    fit = weigh(request, networks, MAC, room(4.2))
    assert "with 10 references" in fit.name and fit.verdict == "does not fit"
    others = alternatives(fit, networks)
    assert others and all(other.shrinks_references and not other.smaller for other in others)
    assert others[0].request.reference_pixels == SMALLER_REFERENCES
    assert set(others[0].plan.facts.references) == {(512, 512)}
    assert weigh(others[0].request, networks, MAC, room(4.2)).plan.peak == others[0].plan.peak


def test_what_is_small_already_is_not_offered_smaller() -> None:
    networks = find_networks("klein-9b")
    fit = weigh(replace(asked(2, 256, "klein-9b"), width=4096, height=4096), networks, MAC, room(5))
    others = alternatives(fit, networks)
    assert others and all(other.smaller and not other.shrinks_references for other in others)


@pytest.mark.parametrize(
    ("model", "count", "said"), [("klein-4b", 4, 0), ("klein-4b", 5, 1), ("dev", 6, 0), ("dev", 7, 1)]
)
def test_more_than_the_guide_recommends_is_a_caution(model: str, count: int, said: int) -> None:
    request = replace(asked(count, model=model), guidance=1.0)
    kind = find_networks(model).guidance
    found = [line for line in cautions(request, find_card(model), kind) if "references" in line]
    assert len(found) == said


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((63, 100), r"reference 2 \(cat\.png\) has 63×100 pixels, and 64 per side are the least; enlarge it 2 times"),
        ((513, 64), r"a side may be 8 times the other at most: crop the longer one to 512"),
    ],
)
def test_a_size_that_no_reference_may_have_is_refused_before_anything_is_fetched(
    size: tuple[int, int], said: str
) -> None:
    request = asked(1)
    wrong = replace(request.references[0], width=size[0], height=size[1])
    with pytest.raises(RequestError, match=said):
        replace(request, references=(*request.references, wrong)).validated()


def test_a_plan_tells_sizes_and_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (1500, 1100)).save("a.png")
    arguments = ["plan", "--model", "klein-4b", "--width", "1024", "--height", "1024", "--image", "a.png"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "image 1: a.png, 1500×1100, taken as 1184×864: 3,996 tokens" in out
    assert "1 reference: each step takes 2.2 × as long." in out
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["references"][0]["taken_as"] == [1184, 864] and 2 < found["step_growth"] < 2.3
