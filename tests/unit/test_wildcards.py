"""Wildcards: one alternative each by the seed; whatever is no wildcard stays as it is typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux2.inputs.wildcards import count, has_wildcards, resolve
from flux2.request import GenerationRequest


@pytest.mark.parametrize(
    ("template", "possible"),
    [
        ("a {red|blue} fox", {"a red fox", "a blue fox"}),
        ("{a|b|c}", {"a", "b", "c"}),
        ("x{|y}", {"x", "xy"}),
        ("{a|{b|c}d}", {"a", "bd", "cd"}),
        ("{a|b}{c|d}", {"ac", "ad", "bc", "bd"}),
        ("{{a|b}} {c|d}", {"{a|b} c", "{a|b} d"}),
        ('{"subject": "{red|blue} fox", "scene": {"light": {}}}',
         {'{"subject": "red fox", "scene": {"light": {}}}', '{"subject": "blue fox", "scene": {"light": {}}}'}),
        ("{unclosed {a|b}", {"{unclosed a", "{unclosed b"}),
    ],
)  # fmt: skip
def test_every_alternative_comes_up_and_nothing_else(template: str, possible: set[str]) -> None:
    assert has_wildcards(template)
    assert {resolve(template, seed) for seed in range(200)} == possible


@pytest.mark.parametrize(
    "prompt", ["a fox", "a|b", "{a}", "{a|b", "a}b", '{"json": {"nested": {}}}', "{{a|b", "{}", "}{", ""]
)
def test_what_is_no_wildcard_stays_as_typed(prompt: str) -> None:
    assert not has_wildcards(prompt)
    assert resolve(prompt, 7) == prompt


def test_the_same_seed_makes_the_same_prompt_in_every_version() -> None:
    template = "a {red|blue|green} {fox|cat} in {snow|rain|fog|sun}"
    assert resolve(template, 42) == "a red fox in rain"


def test_prompts_are_counted() -> None:
    assert count("a fox") == 1
    assert count("{a|b} {c|d|{e|f}}") == 8


@given(st.text(alphabet="ab{}|", max_size=60), st.integers(0, 2**32 - 1))
def test_any_text_can_be_resolved_and_is_stable(template: str, seed: int) -> None:
    resolved = resolve(template, seed)
    assert resolved == resolve(template, seed)
    assert has_wildcards(template) or resolved == template


def test_deep_and_long_templates_are_resolved() -> None:
    assert resolve("{" * 5000 + "a|b" + "}" * 5000, 1).count("{") > 4000  # beyond the greatest depth braces are text
    for unclosed in ("{a|" * 30_000, "{" * 60 + "a|" * 20_000):
        assert resolve(unclosed, 1) == unclosed


def test_a_request_keeps_the_template_beside_what_the_seed_made_of_it() -> None:
    asked = GenerationRequest(prompt="a {red|blue} fox", seed=3)
    resolved = asked.resolved()
    assert resolved.prompt == resolve("a {red|blue} fox", 3)
    assert resolved.prompt_template == "a {red|blue} fox"
    assert resolved.resolved() == resolved
    plain = GenerationRequest(prompt="a fox", seed=3)
    assert plain.resolved() == plain
    assert GenerationRequest(prompt="a {red|blue} fox").resolved().seed is not None
