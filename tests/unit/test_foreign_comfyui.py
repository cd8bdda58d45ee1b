"""ComfyUI's graphs: gone up by what each node does, from what saved the picture; what is not known is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flux2.errors import Flux2Error
from flux2.pictures.foreign.comfyui_graph import Graph
from flux2.pictures.foreign.reading import read_settings_of
from tests.unit.foreign_pictures import PICTURE, exif, left_out, read

Graphs = dict[str, Any]


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


BASE: Graphs = {
    "3": node(
        "KSampler",
        seed=42,
        steps=20,
        cfg=4.0,
        sampler_name="euler",
        scheduler="simple",
        denoise=1.0,
        model=["12", 0],
        positive=["6", 0],
        negative=["7", 0],
        latent_image=["5", 0],
    ),
    "5": node("EmptyFlux2LatentImage", width=768, height=512, batch_size=1),
    "6": node("CLIPTextEncode", text="a red fox", clip=["11", 0]),
    "7": node("CLIPTextEncode", text="blurry", clip=["11", 0]),
    "8": node("VAEDecode", samples=["3", 0], vae=["10", 0]),
    "9": node("SaveImage", images=["8", 0], filename_prefix="ComfyUI"),
    "10": node("VAELoader", vae_name="flux2-vae.safetensors"),
    "11": node("CLIPLoader", clip_name="qwen.safetensors"),
    "12": node("UNETLoader", unet_name="flux-2-klein-base-4b.safetensors", weight_dtype="default"),
}
TAKEN = {
    "prompt": "a red fox",
    "negative_prompt": "blurry",
    "steps": 20,
    "guidance": 4.0,
    "seed": 42,
    "width": 768,
    "height": 512,
    "model": "klein-base-4b",
}


def changed(changes: Graphs | None = None, **inputs: Any) -> Graphs:
    """The base graph with other nodes, and other inputs of its sampler."""
    graph = {**BASE, **(changes or {})}
    return {**graph, "3": node(graph["3"]["class_type"], **{**graph["3"]["inputs"], **inputs})}


DEV = {"12": node("UNETLoader", unet_name="flux2_dev_fp8mixed.safetensors")}
CUSTOM = {
    "3": node(
        "SamplerCustomAdvanced",
        noise=["20", 0],
        guider=["21", 0],
        sampler=["22", 0],
        sigmas=["23", 0],
        latent_image=["5", 0],
    ),
    "20": node("RandomNoise", noise_seed=["24", 0]),
    "21": node("CFGGuider", model=["12", 0], positive=["6", 0], negative=["7", 0], cfg=4.0),
    "22": node("KSamplerSelect", sampler_name="euler"),
    "23": node("Flux2Scheduler", steps=["25", 0], width=["26", 0], height=512),
    "24": node("PrimitiveInt", value=42),
    "25": node("ComfySwitchNode", switch=["27", 0], on_true=["28", 0], on_false=4),
    "26": node("PrimitiveInt", value=768),
    "27": node("PrimitiveBoolean", value=True),
    "28": node("PrimitiveInt", value=20),
}


@pytest.mark.parametrize(
    ("graph", "values", "named"),
    [
        (BASE, {}, []),
        (
            {**BASE, **CUSTOM, "21": node("BasicGuider", model=["12", 0], conditioning=["6", 0])},
            {"guidance": 1.0, "negative_prompt": None},
            [],
        ),
        ({**BASE, "3": CUSTOM["3"], **CUSTOM}, {}, []),
        (
            {
                f"75:{name}" if name != "9" else name: node(
                    one["class_type"],
                    **{
                        key: [f"75:{value[0]}", value[1]] if isinstance(value, list) else value
                        for key, value in one["inputs"].items()
                    },
                )
                for name, one in BASE.items()
            },
            {},
            [],
        ),
        (changed({"7": node("ConditioningZeroOut", conditioning=["6", 0])}), {"negative_prompt": None}, []),
        (
            changed(
                {**DEV, "26": node("FluxGuidance", guidance=3.5, conditioning=["6", 0])}, cfg=1.0, positive=["26", 0]
            ),
            {"model": "dev", "guidance": 3.5},
            [],
        ),
        (
            changed(
                {**DEV, "26": node("FluxGuidance", guidance=3.5, conditioning=["6", 0])}, cfg=3.0, positive=["26", 0]
            ),
            {"model": "dev", "guidance": 3.5},
            ["CFG 3.0"],
        ),
        (changed(DEV, cfg=3.0), {"model": "dev", "guidance": None}, ["CFG 3.0 (the model takes its guidance itself"]),
        (
            changed({"26": node("FluxGuidance", guidance=3.5, conditioning=["6", 0])}, positive=["26", 0]),
            {"guidance": 4.0},
            ["guidance 3.5 (the model takes none"],
        ),
        (
            changed(
                {
                    **DEV,
                    "26": node("FluxGuidance", guidance=["40", 0], conditioning=["6", 0]),
                    "40": node("PrimitiveFloat", value=2.5),
                },
                cfg=1,
                positive=["26", 0],
            ),
            {"model": "dev", "guidance": 2.5},
            [],
        ),
        (
            changed({**DEV, "6": node("CLIPTextEncodeFlux", clip_l="fox", t5xxl="a red fox", guidance=3.0)}, cfg=1),
            {"model": "dev", "guidance": 3.0},
            ["a second text fox"],
        ),
        (changed({"40": node("PrimitiveInt", value=77)}, seed=["40", 0]), {"seed": 77}, []),
        (changed({"40": node("Seed (rgthree)", seed=77)}, seed=["40", 0]), {"seed": 77}, []),
        (
            changed(
                {
                    "5": node("EmptyFlux2LatentImage", width=["40", 0], height=["40", 1]),
                    "40": node("Width/Height Literal (Image Saver)", width=640, height=384),
                }
            ),
            {"width": 640, "height": 384},
            [],
        ),
        (
            changed(
                {
                    "5": node("EmptyFlux2LatentImage", width=["40", 0], height=["40", 1]),
                    "40": node("FluxResolutionNode", megapixel="1.0", aspect_ratio="1:1 (Square)"),
                }
            ),
            {"width": None, "height": None},
            ["size (it comes from FluxResolutionNode (node 40), which is not known)"],
        ),
        (
            changed({"5": node("SDXLEmptyLatentSizePicker+", resolution="1216x832 (1.46)")}),
            {"width": 1216, "height": 832},
            [],
        ),
        (
            changed({"40": node("RandomInteger", least=1, most=9)}, steps=["40", 0]),
            {"steps": None},
            ["steps (it comes from RandomInteger"],
        ),
        (
            changed(
                {"6": node("CLIPTextEncode", text=["40", 0]), "40": node("PrimitiveStringMultiline", value="a red fox")}
            ),
            {},
            [],
        ),
        (
            changed(
                {
                    "6": node("CLIPTextEncode", text=["40", 0]),
                    "40": node("StringConcatenate", string_a="a red", string_b=["41", 0], delimiter=" "),
                    "41": node("PrimitiveString", value="fox"),
                }
            ),
            {},
            [],
        ),
        (
            changed(
                {"6": node("CLIPTextEncode", text=["40", 0]), "40": node("DPRandomGenerator", text="a {red|blue} fox")}
            ),
            {"prompt": None},
            ["prompt (it comes from DPRandomGenerator"],
        ),
        (
            changed({"6": node("ConditioningMaker", text="a red fox")}),
            {"prompt": None},
            ["prompt (it comes from ConditioningMaker"],
        ),
        (changed({"6": node("CLIPTextEncode", text="a red fox <lora:fur:0.5>")}), {}, ["LoRA fur at 0.5"]),
        (
            changed(
                {
                    "85": node(
                        "Power Lora Loader (rgthree)",
                        model=["12", 0],
                        lora_1={"on": True, "lora": "fur", "strength": 0.8},
                        lora_2={"on": False, "lora": "off", "strength": 1},
                        PowerLoraLoaderHeaderWidget={"type": "x"},
                    )
                },
                model=["85", 0],
            ),
            {},
            ["LoRA fur at 0.8"],
        ),
        (
            changed(
                {
                    "85": node(
                        "Lora Loader Stack (rgthree)",
                        model=["12", 0],
                        lora_01="fur",
                        strength_01=0.8,
                        lora_02="None",
                        strength_02=1,
                    )
                },
                model=["85", 0],
            ),
            {},
            ["LoRA fur at 0.8"],
        ),
        (
            changed(
                {
                    "85": node("CR Apply LoRA Stack", model=["12", 0], lora_stack=["86", 0]),
                    "86": node(
                        "CR LoRA Stack",
                        switch_1="On",
                        lora_name_1="fur",
                        model_weight_1=0.8,
                        switch_2="Off",
                        lora_name_2="off",
                        lora_stack=["87", 0],
                    ),
                    "87": node("LoRA Stacker", lora_count=1, lora_name_1="eyes", lora_wt_1=0.3, lora_name_2="unused"),
                },
                model=["85", 0],
            ),
            {},
            ["LoRA fur at 0.8", "LoRA eyes at 0.3"],
        ),
        (
            changed(
                {
                    "85": node(
                        "Lora Loader (LoraManager)",
                        model=["12", 0],
                        text="<lora:fur:1>",
                        loras={"__value__": [{"name": "fur", "strength": 1, "active": True}]},
                    )
                },
                model=["85", 0],
            ),
            {},
            ["LoRA fur ("],
        ),
        (
            changed({"85": node("LoraLoaderFromTheMoon", model=["12", 0], file="x")}, model=["85", 0]),
            {},
            ["LoRA of LoraLoaderFromTheMoon"],
        ),
        (changed({"85": node("ModelSamplingFlux", model=["12", 0], max_shift=1.15)}, model=["85", 0]), {}, []),
        (
            changed({"85": node("MakeItBetter", model=["12", 0])}, model=["85", 0]),
            {"model": None},
            ["model (it comes from MakeItBetter (node 85)"],
        ),
        (
            changed({"40": node("ReferenceLatent", conditioning=["6", 0], latent=["41", 0])}, positive=["40", 0]),
            {},
            ["reference picture (ReferenceLatent)"],
        ),
        (
            changed({"5": node("VAEEncode", pixels=["41", 0]), "41": node("LoadImage", image="a.png")}, denoise=0.6),
            {"width": None, "height": None},
            ["denoise 0.6", "input picture, and its size"],
        ),
        (
            changed(
                {"40": node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0], image=["41", 0])},
                positive=["40", 0],
                negative=["40", 1],
            ),
            {},
            ["ControlNet"],
        ),
        (
            changed(
                {
                    "40": node("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["41", 0]),
                    "41": node("CLIPTextEncode", text="a blue bird"),
                },
                positive=["40", 0],
            ),
            {},
            ["a second prompt a blue bird"],
        ),
        (changed(sampler_name="dpmpp_2m"), {}, ["sampler dpmpp_2m"]),
        (changed({"3": node("ClownSampler", **BASE["3"]["inputs"])}), {}, []),
        (
            changed(
                {"21": node("DualGuider", positive=["6", 0])}
                | {"3": CUSTOM["3"], **{k: v for k, v in CUSTOM.items() if k != "21"}}
            ),
            {"prompt": None, "model": None, "steps": 20, "guidance": None, "negative_prompt": None},
            ["prompt, model and guidance (it comes from DualGuider"],
        ),
        (
            {
                **BASE,
                "8": node("VAEDecode", samples=["30", 0]),
                "30": node(
                    "KSampler",
                    **{**BASE["3"]["inputs"], "seed": 7, "steps": 9, "denoise": 0.5, "latent_image": ["31", 0]},
                ),
                "31": node("LatentUpscale", samples=["3", 0], width=1536, height=1024),
            },
            {"seed": 7, "steps": 9, "width": 1536, "height": 1024},
            ["denoise 0.5", "an earlier pass of KSampler (node 3)"],
        ),
        (
            {
                **BASE,
                "8": node("VAEDecode", samples=["3", 0]),
                "9": node("SaveImage", images=["32", 0]),
                "32": node("ImageUpscaleWithModel", image=["8", 0]),
            },
            {},
            ["upscaling (ImageUpscaleWithModel)"],
        ),
        (
            {**BASE, "9": node("SaveImage", images=["32", 0]), "32": node("Sparkles", image=["8", 0])},
            {},
            ["afterwards (it comes from Sparkles (node 32)"],
        ),
        (
            {
                "9": node("SaveImage", images=["50", 5]),
                "11": BASE["11"],
                "51": node(
                    "Efficient Loader",
                    ckpt_name="flux-2-klein-base-4b.safetensors",
                    lora_name="fur",
                    positive="a red fox",
                    negative="blurry",
                    empty_latent_width=768,
                    empty_latent_height=512,
                ),
                "50": node(
                    "KSampler (Efficient)",
                    seed=42,
                    steps=20,
                    cfg=4.0,
                    model=["51", 0],
                    positive=["51", 1],
                    negative=["51", 2],
                    latent_image=["51", 3],
                ),
            },
            {},
            ["LoRA fur ("],
        ),
    ],
)
def test_graphs(tmp_path: Path, graph: Graphs, values: dict[str, Any], named: list[str]) -> None:
    found = read(tmp_path, prompt=graph)
    assert found.program == "ComfyUI"
    expected = {name: value for name, value in {**TAKEN, **values}.items() if value is not None}
    assert found.values == expected
    said = left_out(found)
    assert [name for name in named if name not in said] == []
    assert len(found.left_out) == len(named)


TWO = {
    **BASE,
    "30": node("KSampler", **{**BASE["3"]["inputs"], "seed": 7, "positive": ["31", 0]}),
    "31": node("CLIPTextEncode", text="a blue bird"),
    "32": node("VAEDecode", samples=["30", 0]),
}


def test_of_several_samplers_it_is_the_one_whose_output_was_saved(tmp_path: Path) -> None:
    assert read(tmp_path, prompt=TWO).values["seed"] == 42  # the other one's picture is not saved
    previewed = {**TWO, "33": node("PreviewImage", images=["32", 0])}
    assert read(tmp_path, prompt=previewed).values["seed"] == 42
    both = {**TWO, "33": node("SaveImage", images=["32", 0], filename_prefix="birds/bird")}
    assert read(tmp_path, "bird_00001_.png", prompt=both).values["prompt"] == "a blue bird"
    assert read(tmp_path, "ComfyUI_00001_.png", prompt=both).values["prompt"] == "a red fox"
    with pytest.raises(Flux2Error, match=r"which of 2 samplers made this picture \(KSampler \(node 3\)"):
        read(tmp_path, "renamed.png", prompt=both)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"workflow": {"nodes": [], "links": [], "version": 0.4}}, "workflow without the graph that was run"),
        ({"prompt": {"1": node("SaveImage", images=["2", 0]), "2": node("LoadImage", image="a.png")}}, "no sampler"),
        (
            {"prompt": {"1": node("SaveImage", images=["9", 0]), "3": BASE["3"]}},
            "the way from the picture to a sampler",
        ),
        ({"prompt": {**BASE, "8": node("VAEDecode", samples=["8", 0])}}, "in a circle"),
        ({"prompt": {str(number): node("X") for number in range(5001)}}, "more than 5000 nodes"),
        ({"prompt": "[" * 100_000}, "prompt"),
        ({"prompt": '{"1":' * 50_000}, "nested too deeply"),
    ],
)
def test_what_can_not_be_told_is_explained(tmp_path: Path, texts: dict[str, Any], said: str) -> None:
    with pytest.raises(Flux2Error, match=said) as told:
        read(tmp_path, **texts)
    assert "\n" not in str(told.value)


def test_texts_put_together_from_one_another_stay_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each node twice the one before would be 2⁵⁰ texts."""
    graph = {
        str(number): node("StringConcatenate", string_a=[str(number + 1), 0], string_b=[str(number + 1), 0])
        for number in range(50)
    }
    nodes = Graph({**graph, "50": node("PrimitiveString", value="")})
    asked, at = [], Graph.at
    monkeypatch.setattr(Graph, "at", lambda self, link: asked.append(link) or at(self, link))
    assert nodes.text(["0", 0]) == ""
    assert len(asked) <= 200


def test_long_ways_are_gone_once(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = {str(number): node("PrimitiveInt", value=[str(number + 1), 0]) for number in range(2000)}
    nodes = Graph({**chain, "2000": node("PrimitiveInt", value=5)})
    asked, at = [], Graph.at
    monkeypatch.setattr(Graph, "at", lambda self, link: asked.append(link) or at(self, link))
    for number in range(2000):
        assert nodes.source([str(number), 0]) == 5
    assert len(asked) <= 3 * 2001


DRAWING = 'workflow:{"nodes": [], "links": []}'


def test_comfyui_in_the_exif_of_webp(tmp_path: Path) -> None:
    PICTURE.save(
        tmp_path / "x.webp",
        exif=exif(t0x110=f"prompt:{json.dumps(BASE)}", t0x10F='workflow:{"nodes": [], "links": []}'),
    )
    assert read_settings_of(tmp_path / "x.webp").values == TAKEN
