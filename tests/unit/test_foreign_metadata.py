"""Settings out of pictures that other programs made, as far as they go; a sentence when they don't."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from flux2.errors import Flux2Error
from flux2.pictures.foreign_metadata import read_settings_of
from flux2.pictures.image_metadata import ImageMetadata
from flux2.pictures.images import save_png
from flux2.request import GenerationRequest

A1111 = """a fox, (snow:1.2), 85mm
golden hour
Negative prompt: blurry, text
Steps: 20, Sampler: Euler a, Schedule type: Simple, CFG scale: 3.5, Seed: 1234, Size: 1023x770, Model hash: abc, \
Model: flux-2-klein-9b-fp8, Lora hashes: "fur: 1, eyes: 2", Version: v1.10"""

COMFYUI = {
    "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux2-klein-4b.safetensors"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox in snow", "clip": ["9", 0]}},
    "3": {"class_type": "FluxGuidance", "inputs": {"guidance": 4.0, "conditioning": ["2", 0]}},
    "4": {"class_type": "BasicGuider", "inputs": {"model": ["12", 0], "conditioning": ["3", 0]}},
    "5": {"class_type": "RandomNoise", "inputs": {"noise_seed": 99}},
    "6": {"class_type": "Flux2Scheduler", "inputs": {"steps": 8, "width": 512, "height": 768}},
    "7": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
    "8": {"class_type": "EmptyFlux2LatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
    "9": {"class_type": "CLIPLoader", "inputs": {"clip_name": "qwen"}},
    "10": {
        "class_type": "SamplerCustomAdvanced",
        "inputs": {"noise": ["5", 0], "guider": ["4", 0], "sampler": ["7", 0], "sigmas": ["6", 0]},
    },
    "11": {"class_type": "VAEDecode", "inputs": {"samples": ["10", 0], "vae": ["13", 0]}},
    "12": {"class_type": "LoraLoaderModelOnly", "inputs": {"lora_name": "fur.safetensors", "model": ["1", 0]}},
}  # fmt: skip

KSAMPLER = {
    "a": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sdxl.safetensors"}},
    "p": {"class_type": "CLIPTextEncode", "inputs": {"text": "a dog", "clip": ["a", 1]}},
    "n": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["a", 1]}},
    "l": {"class_type": "EmptyLatentImage", "inputs": {"width": 1024, "height": 1024}},
    "k": {
        "class_type": "KSampler",
        "inputs": {"seed": 2**60, "steps": 30, "cfg": 7.5, "model": ["a", 0], "positive": ["p", 0],
                   "negative": ["n", 0], "latent_image": ["l", 0]},
    },
}  # fmt: skip

MFLUX = {
    "mflux_version": "0.18.0",
    "model": "black-forest-labs/FLUX.2-klein-4B",
    "seed": 7,
    "steps": 4,
    "guidance": None,
    "width": 640,
    "height": 480,
    "quantize": 8,
    "prompt": "ein Fuchs im Schnee, für immer",
    "lora_paths": ["/x/fur.safetensors"],
}


def picture(path: Path, **texts: str) -> Path:
    chunks = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        chunks.add_itxt(name, text)
    Image.new("RGB", (8, 8)).save(path, pnginfo=chunks)
    return path


def test_ours_come_back_whole(tmp_path: Path) -> None:
    request = GenerationRequest(prompt="a red fox", prompt_template="a {red|blue} fox", negative_prompt="no",
                                model="klein-4b", quantization="int4", width=512, height=256, steps=6,
                                guidance=2.0, seed=3)  # fmt: skip
    path = save_png(Image.new("RGB", (8, 8)), tmp_path / "ours.png", ImageMetadata(request=request))
    found = read_settings_of(path)
    assert found.program == "flux2-tui"
    assert GenerationRequest(**found.values) == request
    assert found.left_out == []


def test_parameters_text(tmp_path: Path) -> None:
    found = read_settings_of(picture(tmp_path / "a.png", parameters=A1111))
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
    said = " / ".join(found.left_out)
    for expected in ("size 1023×770 (now 1024×768)", "Sampler Euler a", "Lora hashes fur: 1, eyes: 2"):
        assert expected in said


def test_parameters_of_a_prompt_alone(tmp_path: Path) -> None:
    assert read_settings_of(picture(tmp_path / "a.png", parameters="just a fox")).values == {"prompt": "just a fox"}


def test_a_comfyui_graph_with_a_guider(tmp_path: Path) -> None:
    found = read_settings_of(picture(tmp_path / "c.png", prompt=json.dumps(COMFYUI), workflow="{}"))
    assert found.program == "ComfyUI"
    assert found.values == {
        "prompt": "a fox in snow",
        "steps": 8,
        "guidance": 4.0,
        "seed": 99,
        "width": 512,
        "height": 768,
        "model": "klein-4b",
    }
    assert found.left_out == ["LoRA fur.safetensors"]


def test_a_comfyui_graph_with_a_plain_sampler(tmp_path: Path) -> None:
    found = read_settings_of(picture(tmp_path / "c.png", prompt=json.dumps(KSAMPLER)))
    assert (found.values["prompt"], found.values["negative_prompt"]) == ("a dog", "blurry")
    assert (found.values["steps"], found.values["guidance"]) == (30, 7.5)
    assert "seed" not in found.values
    assert found.left_out == [f"seed {2**60} (above {2**32 - 1})", "model sdxl.safetensors"]


def test_mflux(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x8769] = {0x9286: b"ASCII\0\0\0" + json.dumps(MFLUX).encode()}
    path = tmp_path / "m.png"
    Image.new("RGB", (8, 8)).save(path, exif=exif)
    found = read_settings_of(path)
    assert found.program == "mflux"
    assert found.values == {
        "prompt": "ein Fuchs im Schnee, für immer",
        "steps": 4,
        "seed": 7,
        "width": 640,
        "height": 480,
        "model": "klein-4b",
        "quantization": "qint8",
    }
    assert len(found.left_out) == 1
    assert "lora_paths" in found.left_out[0]


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {"Software": "GIMP"},
        {"prompt": "{}"},
        {"prompt": "[" * 100_000},
        {"prompt": "[1]"},
        {"prompt": json.dumps({"1": {"class_type": "KSampler", "inputs": {"positive": ["1", 0], "model": ["1", 0]}}})},
        {"prompt": json.dumps({"1": 4, "2": {"class_type": "KSampler", "inputs": [1]}})},
        {"prompt": json.dumps({str(n): {"class_type": "X", "inputs": {}} for n in range(2001)})},
        {"flux2": "{}"},
        {"parameters": "\n\n"},
        {"parameters": "x" * (2 << 20)},
    ],
)
def test_nothing_or_nonsense_is_a_sentence(tmp_path: Path, texts: dict[str, str]) -> None:
    with pytest.raises(Flux2Error) as told:
        read_settings_of(picture(tmp_path / "x.png", **texts))
    assert "\n" not in str(told.value)


def test_what_is_no_png_is_a_sentence(tmp_path: Path) -> None:
    for data in (b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\xff" * 100):
        path = tmp_path / "x.png"
        path.write_bytes(data)
        with pytest.raises(Flux2Error):
            read_settings_of(path)
