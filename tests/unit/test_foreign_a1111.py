"""AUTOMATIC1111's form as its family writes it: what is a line of settings is known by its form, in linear time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flux2.errors import Flux2Error
from flux2.pictures.foreign import a1111
from flux2.pictures.foreign.candidate import Candidate
from tests.unit.foreign_pictures import left_out, read

TAKEN = {"prompt": "a fox", "steps": 20, "guidance": 4.0, "seed": 42, "width": 768, "height": 512}
LINE = "Steps: 20, Sampler: Euler, CFG scale: 4, Seed: 42, Size: 768x512"


@pytest.mark.parametrize(
    ("text", "program", "values", "named"),
    [
        (f"a fox\n{LINE}", "AUTOMATIC1111", TAKEN, []),
        (f"a fox\r\n{LINE}\r\n\r\n", "AUTOMATIC1111", TAKEN, []),
        (
            "Negative prompt: blurry\n" + LINE,
            "AUTOMATIC1111",
            {"prompt": None, "negative_prompt": "blurry"},
            ["has none"],
        ),
        (
            "a fox\nNegative prompt: blurry\nand text\n" + LINE,
            "AUTOMATIC1111",
            {"negative_prompt": "blurry\nand text"},
            [],
        ),
        ("a fox\nNegative prompt: blurry\nSteps: 20, Seed: 42", "AUTOMATIC1111", {"steps": 20, "seed": 42}, []),
        ("a fox\nSteps: 20", "AUTOMATIC1111", {"prompt": "a fox", "steps": 20}, []),
        ("a fox\nSteps: 20 | Seed: 42 | CFG scale: 4 | Size: 768x512", "AUTOMATIC1111", TAKEN, []),
        ("a fox\nSteps: 20\nSeed: 42\nCFG scale: 4\nSize: 768x512", "AUTOMATIC1111", TAKEN, []),
        (
            "a fox\nSampler: DDIM, Seed: 42, Steps: 20, CFG scale: 4, Size: 768x512",
            "AUTOMATIC1111",
            TAKEN,
            ["Sampler DDIM"],
        ),
        (
            f"a fox\n{LINE}\nTemplate: a {{red|blue}} fox,\nSteps on stairs\nNegative Template: no",
            "AUTOMATIC1111",
            TAKEN | {"negative_prompt": None},
            ["Template a {red|blue} fox, Steps on stairs (the prompt is", "Negative Template no"],
        ),
        (
            f"Steps: wide, of stone\nSize: large\na fox\n{LINE}",
            "AUTOMATIC1111",
            {"prompt": "Steps: wide, of stone\nSize: large\na fox", "steps": 20},
            [],
        ),
        (
            f"a fox <lora:fur:0.8>, <lyco:eyes:1> snow\n{LINE}",
            "AUTOMATIC1111",
            {"prompt": "a fox, snow"},
            ["LoRA fur at 0.8 (it is not in the folder for LoRAs)", "LoRA eyes (it is not"],
        ),
        (f"a fox <3 <b> <lora> a<b\n{LINE}", "AUTOMATIC1111", {"prompt": "a fox <3 <b> <lora> a<b"}, []),
        (
            f"a fox, embedding:bad-hands:1.2, snow\n{LINE}",
            "AUTOMATIC1111",
            {"prompt": "a fox, , snow"},
            ["embedding:bad-hands"],
        ),
        (
            f'a fox <lora:fur:0.8>\n{LINE}, Lora hashes: "fur: 1a, eyes: 2b"',
            "AUTOMATIC1111",
            {"prompt": "a fox"},
            ["LoRA fur at 0.8", "LoRA eyes ("],
        ),
        (
            f"a fox\n{LINE}, Version: f2.0.1v1.10.1, Distilled CFG Scale: 3.5, Model: flux2-dev",
            "Forge",
            {"guidance": 3.5, "model": "dev"},
            ["CFG 4 (the guidance"],
        ),
        (
            f"a fox\n{LINE}, Model: flux2-klein-base-4b, Distilled CFG Scale: 3.5, Version: f2.0",
            "Forge",
            {"guidance": 4.0, "model": "klein-base-4b"},
            ["guidance 3.5 (the model"],
        ),
        (f"a fox\n{LINE}, App: SD.Next, Version: 6846f4e, Pipeline: Flux2KleinPipeline", "SD.Next", TAKEN, []),
        (
            f"a fox\n{LINE}, Guidance: 3.5, RNG: cuda, Version: stable-diffusion.cpp",
            "stable-diffusion.cpp",
            {"guidance": 3.5},
            ["CFG 4"],
        ),
        (
            f'a fox\n{LINE}, Civitai resources: [{{"type":"checkpoint","modelName":"FLUX.2 klein 4B"}},'
            '{"type":"lora","weight":0.7,"modelName":"Fur, soft"}], Civitai metadata: {"a": [1, 2]}',
            "Civitai",
            TAKEN | {"model": "klein-4b"},
            ["LoRA Fur, soft at 0.7"],
        ),
        (f'a fox\n{LINE}, Hashes: {{"model": "1a", "lora:fur": "2b"}}', "AUTOMATIC1111", TAKEN, ["LoRA fur"]),
        (
            f"a fox\n{LINE}, Denoising strength: 0.5, Hires upscale: 2",
            "AUTOMATIC1111",
            TAKEN,
            [
                "Denoising strength 0.5 (the picture that it began with is not in the file)",
                "Hires upscale 2 (there is no such",
            ],
        ),
        (
            'a fox\nSteps: 20, Note: "unclosed, Seed: 42, Size: 768x512',
            "AUTOMATIC1111",
            {"seed": 42, "width": 768},
            ["Note"],
        ),
        (
            "a fox\nSteps: 20, Note: [unclosed, Seed: 42, Size: 768x512",
            "AUTOMATIC1111",
            {"seed": 42, "width": 768},
            ["Note"],
        ),
        (
            'a fox\nSteps: 20, Note: "a \\"b\\", Seed: 1", Seed: 42',
            "AUTOMATIC1111",
            {"seed": 42},
            ['Note a "b", Seed: 1'],
        ),
        (
            "a fox\nSteps: 20, Size: big, Seed: x, CFG scale: nan",
            "AUTOMATIC1111",
            {"steps": 20, "seed": None, "width": None},
            ["size big", "seed x", "guidance nan"],
        ),
        (
            "fog, a car Negative prompt: blurry Steps: 20, CFG scale: 4, Seed: 42, Size: 768x512",
            "AUTOMATIC1111",
            TAKEN | {"prompt": "fog, a car", "negative_prompt": "blurry"},
            [],
        ),
        (f"a fox\nNegative prompt: {LINE}", "AUTOMATIC1111", TAKEN | {"negative_prompt": None}, []),
        (
            "a fox\n-blurry\nSteps: 20, Guidance Scale: 4, Seed: 42, Size: 768x512, Seed Mode: Legacy",
            "Draw Things",
            TAKEN | {"negative_prompt": "blurry"},
            [],
        ),
        (f"a fox\n{LINE}\nTemplate: a fox Steps: 3 of", "AUTOMATIC1111", TAKEN, ["Template a fox Steps: 3 of"]),
        (f"a {{red|blue}} fox\n{LINE}", "AUTOMATIC1111", {"prompt": "a {red|blue} fox"}, ["braces in the prompt (of"]),
        (f"a fox\nnegative prompt: no\n{LINE}", "AUTOMATIC1111", TAKEN | {"negative_prompt": "no"}, []),
        (f'{{"a": 1}} fox\n{LINE}', "AUTOMATIC1111", TAKEN | {"prompt": '{"a": 1} fox'}, []),
        (
            "a fox\nSteps: 20, Note: two\nlines\n, Seed: 42, Model: flux2-klein-4b",
            "AUTOMATIC1111",
            {"seed": 42, "model": "klein-4b"},
            ["Note two", "lines behind the settings lines"],
        ),
        (
            f'a fox\n{LINE}, Civitai resources: [{{"type":"vae","modelName":"v"}},{{"air":"urn:air:x:lora:c:1@2"}},5]',
            "Civitai",
            TAKEN,
            ["vae v (there", "LoRA urn:air:x:lora:c:1@2 ("],
        ),
        ("a fox\nSteps: 20, Seed: -1", "AUTOMATIC1111", {"seed": None}, ["seed -1 (it says any"]),
        ("a fox\nSteps: 20, Model: a, b, Seed: 42", "AUTOMATIC1111", {"seed": 42}, ["model a, b"]),
        (
            "a fox\nSteps: 4, Model: pocket, Quantization: int4, Version: flux2-tui 1",
            "flux2-tui",
            {"model": "pocket", "quantization": "int4"},
            [],
        ),
        (
            f'a fox\n{LINE}, Styles: "[\'Sharp\']", Raw prompt: "fox", Base Model: sdxl, Version: Fooocus v2.5.5',
            "Fooocus",
            TAKEN,
            ["Styles ['Sharp']", "model sdxl (Stable Diffusion XL is none"],
        ),
    ],
)
def test_what_the_family_writes(
    tmp_path: Path, text: str, program: str, values: dict[str, Any], named: list[str]
) -> None:
    found = read(tmp_path, parameters=text)
    assert found.program == program
    assert {name: found.values.get(name) for name in values} == values
    said = left_out(found)
    assert [name for name in named if name not in said] == []
    if not named:
        assert said == ""


@pytest.mark.parametrize(
    "text",
    ["just a fox", '{"prompt": "a fox"}', "[1]", "a fox: Steps, of stone", "Steps: to heaven", "workflow\nnodes: 5"],
)
def test_text_of_unknown_form_is_no_prompt(tmp_path: Path, text: str) -> None:
    with pytest.raises(Flux2Error, match="says nothing about how it was made") as told:
        read(tmp_path, parameters=text)
    assert text[:5] in str(told.value)


class Counted(str):
    """A text that counts the characters that are gone over one by one."""

    seen = 0

    def __iter__(self) -> Iterator[str]:
        for sign in super().__iter__():
            Counted.seen += 1
            yield sign


@pytest.mark.parametrize(
    "unit",
    [
        'a:"\\',
        '\\"a:"\\"',
        "a ",
        "a",
        " ",
        "-/ ",
        "a: b, ",
        "a: [1, ",
        'a: ["\\\\", ',
        "<lora:",
        "<",
        "a|",
        ":",
        "{",
        "\n",
    ],
)
def test_a_line_is_gone_over_once_whatever_is_in_it(unit: str) -> None:
    line = (unit * 20_000)[:20_000]
    Counted.seen = 0
    parts = list(a1111._split(Counted(f"Steps: 20, {line}"), ","))
    assert Counted.seen <= len(line) + 11
    assert sum(map(len, parts)) <= len(line) + 11
    read = a1111.read_a1111(Candidate("parameters", f"a fox {line}\nNegative prompt: {line}\nSteps: 20, {line}"))
    assert read is None or read.program == "AUTOMATIC1111"


def test_a_flood_of_lines_is_gone_over_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    is_settings = a1111._is_settings

    def counted(line: str) -> bool:
        nonlocal asked
        asked += 1
        return is_settings(line)

    monkeypatch.setattr(a1111, "_is_settings", counted)
    a1111.read_a1111(Candidate("parameters", "\nNegative prompt:" * 60_000 + "\nx\n" + " " * 20_000 + "x"))
    assert asked <= 60_010
