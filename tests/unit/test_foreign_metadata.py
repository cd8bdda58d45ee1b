"""Settings out of pictures that any program made, as far as they go; a sentence when they don't."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flux2.errors import Flux2Error
from flux2.pictures.foreign.found import FoundSettings
from flux2.pictures.foreign.reading import read_settings_of
from flux2.pictures.image_metadata import ImageMetadata
from flux2.pictures.images import save_png
from flux2.request import GenerationRequest
from tests.unit.foreign_pictures import PICTURE, exif, left_out, png, read

A1111 = """a fox, (snow:1.2), 85mm
golden hour
Negative prompt: blurry, text
Steps: 20, Sampler: Euler a, Schedule type: Simple, CFG scale: 3.5, Seed: 1234, Size: 1023x770, Model hash: abc, \
Model: flux-2-klein-9b-fp8, Lora hashes: "fur: 1, eyes: 2", Version: v1.10"""
TAKEN = {"prompt": "a red fox", "steps": 4, "seed": 42, "width": 768, "height": 512}
CAPTION = {"caption": {"base_caption": "a red fox", "char_captions": [{"char_caption": "a cub", "centers": []}]}}
MFLUX = {"mflux_version": "0.18.0", "prompt": "a red fox", "steps": 4, "seed": 42, "width": 768, "height": 512}


def test_ours_come_back_whole(tmp_path: Path) -> None:
    request = GenerationRequest(
        prompt="a red fox",
        prompt_template="a {red|blue} fox",
        negative_prompt="no",
        model="klein-4b",
        quantization="int4",
        width=512,
        height=256,
        steps=6,
        guidance=2.0,
        seed=3,
    )
    path = save_png(Image.new("RGB", (8, 8)), tmp_path / "ours.png", ImageMetadata(request=request))
    found = read_settings_of(path)
    assert found == FoundSettings("flux2-tui", values=found.values)
    assert GenerationRequest(**found.values) == request


def test_ours_with_a_damaged_text_come_back_by_the_other(tmp_path: Path) -> None:
    request = GenerationRequest(prompt="a red fox", model="dev", quantization="int4", width=512, height=256, seed=3)
    path = save_png(Image.new("RGB", (8, 8)), tmp_path / "ours.png", ImageMetadata(request=request))
    content = path.read_bytes().replace(b'flux2\0\0\0\0\0{"schema"', b'flux2\0\0\0\0\0["schema"')
    path.write_bytes(content)
    found = read_settings_of(path)
    assert (found.program, found.values["model"], found.values["quantization"]) == ("flux2-tui", "dev", "int4")
    assert "flux2 (its checksum does not fit)" in found.not_understood


def test_automatic1111(tmp_path: Path) -> None:
    found = read(tmp_path, parameters=A1111)
    assert found.program == "AUTOMATIC1111"
    assert found.values == {
        "prompt": "a fox, (snow:1.2), 85mm\ngolden hour",
        "negative_prompt": "blurry, text",
        "steps": 20,
        "guidance": 3.5,
        "seed": 1234,
        "width": 1024,
        "height": 768,
        "model": "klein-9b",
    }
    for expected in (
        "size 1023×770 (now 1024×768)",
        "Sampler Euler a (FLUX.2 is",
        "LoRA fur (it is not in",
    ):
        assert expected in left_out(found)


@pytest.mark.parametrize(
    ("program", "name", "text", "values", "named"),
    [
        (
            "SwarmUI",
            "parameters",
            {
                "sui_image_params": {
                    "prompt": "a red fox<segment:face> eyes",
                    "negativeprompt": "blurry",
                    "seed": 42,
                    "steps": 4,
                    "cfgscale": 1.0,
                    "fluxguidancescale": 3.5,
                    "width": 768,
                    "height": 512,
                    "model": "Flux/flux2-dev.safetensors",
                    "loras": ["fur", "eyes"],
                    "loraweights": "0.8",
                    "initimagecreativity": 0.6,
                    "sampler": "dpmpp_2m",
                    "swarm_version": "0.9.7",
                },
                "sui_extra_data": {"date": "2026-01-01"},
            },
            {"prompt": "a red fox eyes", "negative_prompt": "blurry", "model": "dev", "guidance": 3.5},
            [
                "<segment:face>",
                "LoRA fur at 0.8",
                "LoRA eyes (",
                "initimagecreativity 0.6 (the picture that",
                "sampler dpmpp_2m",
            ],
        ),
        (
            "Fooocus",
            "parameters",
            {
                "metadata_scheme": "fooocus",
                "prompt": "a red fox",
                "negative_prompt": "",
                "seed": "42",
                "steps": 4,
                "resolution": "(768, 512)",
                "guidance_scale": 1.0,
                "base_model": "juggernautXL.safetensors",
                "loras": [["fur.safetensors", 0.8, "1a"]],
                "styles": "['Sharp']",
                "full_prompt": ["a red fox", "sharp"],
                "performance": "Speed",
                "sampler": "euler",
                "version": "Fooocus v2.5.5",
            },
            {"guidance": 1.0},
            [
                "model juggernautXL.safetensors (",
                "LoRA fur.safetensors at 0.8",
                "styles ['Sharp']",
                "performance Speed",
            ],
        ),
        (
            "Fooocus",
            "EXIF UserComment",
            {"prompt": "a red fox", "resolution": [768, 512], "seed": 42, "steps": 4, "lora_combined_1": "fur : 0.8"},
            {},
            ["LoRA fur at 0.8"],
        ),
        (
            "RuinedFooocus",
            "parameters",
            {
                "software": "RuinedFooocus",
                "Prompt": "a red fox",
                "Negative": "no",
                "seed": 42,
                "steps": 4,
                "width": 768,
                "height": 512,
                "cfg": 2,
                "base_model_name": "flux2-klein-4b.gguf",
            },
            {"negative_prompt": "no", "guidance": 2.0, "model": "klein-4b"},
            [],
        ),
        (
            "InvokeAI",
            "invokeai_metadata",
            {
                "positive_prompt": "a red fox",
                "negative_prompt": None,
                "width": 768,
                "height": 512,
                "seed": 42,
                "steps": 4,
                "cfg_scale": 1.0,
                "model": {"name": "FLUX.2 Klein 4B", "base": "flux2", "type": "main"},
                "app_version": "6.11",
                "loras": [{"model": {"name": "fur"}, "weight": 0.8}],
                "scheduler": "euler",
                "strength": 0.5,
            },
            {"model": "klein-4b"},
            ["LoRA fur at 0.8", "strength 0.5"],
        ),
        (
            "InvokeAI",
            "sd-metadata",
            {
                "model_weights": "sd-1.5",
                "app_version": "2.3",
                "image": {
                    "prompt": [{"prompt": "a red fox [blurry]", "weight": 1.0}],
                    "steps": 4,
                    "seed": 42,
                    "width": 768,
                    "height": 512,
                    "cfg_scale": 7.5,
                },
            },
            {"negative_prompt": "blurry", "guidance": 7.5},
            ["model sd-1.5 (Stable Diffusion 1 is"],
        ),
        (
            "InvokeAI",
            "Dream",
            '"a red fox [blurry] snow" -s 4 -S42 -W 768 -H 512 -C 7.5 -A k_lms',
            {"prompt": "a red fox  snow", "negative_prompt": "blurry", "guidance": 7.5},
            ["sampler k_lms"],
        ),
        (
            "NovelAI",
            "Comment",
            {
                "prompt": "a red fox",
                "steps": 4,
                "height": 512,
                "width": 768,
                "scale": 5.0,
                "uc": "blurry",
                "seed": 42,
                "sampler": "k_euler",
                "v4_prompt": CAPTION,
                "signed_hash": "x",
            },
            {"negative_prompt": "blurry", "guidance": 5.0},
            ["characters a cub"],
        ),
        (
            "NovelAI",
            "EXIF UserComment",
            {
                "Software": "NovelAI",
                "Comment": json.dumps(
                    {"prompt": "a red fox", "steps": 4, "height": 512, "width": 768, "scale": 5, "uc": "", "seed": 42}
                ),
            },
            {"guidance": 5.0},
            [],
        ),
        (
            "Draw Things",
            "EXIF UserComment",
            {
                "c": "a red fox",
                "uc": "blurry",
                "steps": 4,
                "seed": 42,
                "size": "768x512",
                "scale": 1.0,
                "strength": 1,
                "model": "flux_2_klein_4b_q8p.ckpt",
                "lora": [{"model": "fur_lora_f16.ckpt", "weight": 0.8}],
                "sampler": "Euler A Trailing",
                "seed_mode": "Scale Alike",
                "v2": {"width": 1, "loras": []},
            },
            {"negative_prompt": "blurry", "model": "klein-4b", "guidance": 1.0},
            ["LoRA fur_lora_f16.ckpt at 0.8", "sampler Euler A"],
        ),
        (
            "Draw Things",
            "EXIF UserComment",
            {"c": "a red fox", "v2": {"width": 768, "height": 512, "steps": 4, "seed": 42, "guidanceScale": 3}},
            {"guidance": 3.0},
            [],
        ),
        (
            "mflux",
            "EXIF UserComment",
            {
                **MFLUX,
                "model": "black-forest-labs/FLUX.2-klein-4B",
                "quantize": 8,
                "guidance": None,
                "lora_paths": ["/x/fur.safetensors"],
                "lora_scales": [0.8],
                "image_path": "a.png",
            },
            {"model": "klein-4b", "quantization": "qint8"},
            ["LoRA fur.safetensors at 0.8", "image_path a.png (the picture that"],
        ),
        (
            "mflux",
            "EXIF UserComment",
            {**MFLUX, "model": "black-forest-labs/FLUX.1-dev", "base_model": "dev", "quantize": 3},
            {},
            ["model black-forest-labs/FLUX.1-dev (FLUX.1 dev is none of `flux2 models`)", "quantize 3"],
        ),
        (
            "Easy Diffusion",
            "EXIF UserComment",
            {
                "prompt": "a red fox",
                "num_inference_steps": 4,
                "seed": 42,
                "width": 768,
                "height": 512,
                "use_stable_diffusion_model": "flux2-klein-4b",
                "use_lora_model": "fur",
                "lora_alpha": 0.8,
                "guidance_scale": 1,
                "sampler_name": "euler",
            },
            {"model": "klein-4b"},
            ["LoRA fur at 0.8"],
        ),
    ],
)
def test_programs(
    tmp_path: Path, program: str, name: str, text: dict[str, Any] | str, values: dict[str, Any], named: list[str]
) -> None:
    written = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    path = tmp_path / "x.png"
    if name.startswith("EXIF"):
        PICTURE.save(path, exif=exif(b"ASCII\0\0\0" + written.encode()))
    else:
        png(path, **{name: written})
    found = read_settings_of(path)
    assert found.program == program
    assert {name: found.values.get(name) for name in {**TAKEN, **values}} == {**TAKEN, **values}
    said = left_out(found)
    assert [name for name in named if name not in said] == []
    assert len(found.left_out) == len(named)
    assert found.not_understood == []


def test_easy_diffusion_has_a_text_for_each(tmp_path: Path) -> None:
    found = read(tmp_path, prompt="a red fox", num_inference_steps="4", seed="42", width="768", height="512")
    assert (found.program, found.values) == ("Easy Diffusion", TAKEN)


@pytest.mark.parametrize(
    ("model", "taken"),
    [
        ("flux_2_klein_9b_base", "klein-base-9b"),
        ("Flux\\Flux.2-Klein\\flux-2-klein-9b-fp8.safetensors", "klein-9b"),
        ("flux-2-klein-9b-kv-fp8", "klein-9b-kv"),
        ("FLUX.2 [dev]", "dev"),
        ("flux2_dev_fp8mixed.safetensors", "dev"),
        *((name, None) for name in ("dev", "flux1-dev-fp8", "flux1-kontext-dev", "devilMix_v3", "sdxl_develop")),
        *((name, None) for name in ("pocketMonsters_v1", "", "x" * 5000)),
    ],
)
def test_models_are_known_by_whole_words(tmp_path: Path, model: str, taken: str | None) -> None:
    found = read(tmp_path, parameters=f"a fox\nSteps: 4, Seed: 1, Model: {model}")
    assert found.values.get("model") == taken
    assert ("model" in left_out(found)) is (taken is None and model != "")


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {"Software": "GIMP"},
        {"prompt": "{}"},
        {"prompt": "[1]"},
        {"prompt": json.dumps({"1": {"class_type": "KSampler", "inputs": {"positive": ["1", 0], "model": ["1", 0]}}})},
        {"prompt": json.dumps({"1": 4, "2": {"class_type": "KSampler", "inputs": [1]}})},
        {"flux2": "{}"},
        {"parameters": "\n\n"},
        {"parameters": "x" * (2 << 20)},
        {"parameters": "a red fox"},
        {"parameters": '{"prompt": "a red fox", "of": "tomorrow"}'},
        {"parameters": '{"sui_image_params": 5}'},
        {"Comment": '{"prompt": "a red fox"}'},
        {"Dream": "don't"},
        {"prompt": "{}", "num_inference_steps": "4"},
        {"prompt": "a fox", "num_inference_steps": "some"},
    ],
)
def test_nothing_or_nonsense_is_a_sentence(tmp_path: Path, texts: dict[str, str]) -> None:
    with pytest.raises(Flux2Error, match="says nothing about how it was made") as told:
        read(tmp_path, **texts)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("settings", "values", "named"),
    [
        ({"prompt": "\ud83d fox\x1b[31m\r\nsnow"}, {"prompt": "[31m\nsnow"}, []),
        ({"prompt": "x" * 10_001}, {}, ["prompt xxx"]),
        ({"seed": 2**32}, {}, ["seed 4294967296 (above 4294967295)"]),
        ({"seed": True}, {}, ["seed True (it is no number)"]),
        ({"steps": 4.5}, {}, ["steps 4.5 ("]),
        ({"steps": 4000}, {}, ["steps 4000 (4000 steps are out of range; choose 1 to 1000)"]),
        ({"guidance": "4,0"}, {}, ["guidance 4,0 (it is no number)"]),
        ({"guidance": 10**400}, {}, ["guidance 1000"]),
        ({"width": 10**400, "height": -5}, {}, ["size 1000"]),
        ({"width": 10**39, "height": -5}, {"width": 4096, "height": 64}, ["(now 4096×64)"]),
        ({"width": 100}, {}, ["size 100×None (it is no size)"]),
    ],
)
def test_values_that_can_not_be_taken_are_named(
    settings: dict[str, Any], values: dict[str, Any], named: list[str]
) -> None:
    found = FoundSettings("anybody")
    found.take_prompts(settings.pop("prompt", "a fox"))
    found.take_size(settings.pop("width", None), settings.pop("height", None))
    for name, value in settings.items():
        found.take(name, value)
    assert all(
        found.values[name].endswith(str(value)) if name == "prompt" else found.values[name] == value
        for name, value in values.items()
    )
    assert set(found.values) <= {"prompt", *values}
    said = left_out(found)
    assert [name for name in named if name not in said] == []
