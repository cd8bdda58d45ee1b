"""Pictures of other programs with anything in them: settings that a request may have, or a sentence; nothing else."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from flux2.errors import Flux2Error
from flux2.inputs.checks import MAX_SIZE
from flux2.pictures.foreign import comfyui_nodes
from flux2.pictures.foreign.reading import read_settings_of
from flux2.request import GenerationRequest
from tests.fuzz.strategies import JSON, NUMBERS, mutated

FOLDER = Path(tempfile.mkdtemp(dir=Path.home()))  # pytest's own
IDS = st.sampled_from("12345")
LINKS = st.tuples(IDS, st.integers(0, 3)).map(list)


def words(text: str, *more: str) -> st.SearchStrategy[str]:
    return st.sampled_from([*text.split(), *more])


CLASSES = words(
    """Unknown EmptyLatentImage LatentUpscale UNETLoader CFGGuider RandomNoise Flux2Scheduler FluxGuidance PrimitiveInt
    VAEDecode VAEEncode SaveImage ConditioningCombine ConditioningZeroOut KSamplerSelect ReferenceLatent""",
    *("Power Lora Loader (rgthree)", "CR LoRA Stack", "Any Switch (rgthree)"),
    *sorted({*comfyui_nodes.SAMPLERS, *comfyui_nodes.TEXTS, *comfyui_nodes.JOINED, *comfyui_nodes.SWITCHES}),
)
INPUTS = words(
    """positive negative conditioning latent_image samples images pixels model text value string_a string_b steps cfg
    seed noise_seed width height unet_name guider sigmas noise sampler guidance switch on_true on_false lora_1
    lora_name lora_stack loras"""
)
NODE = st.fixed_dictionaries(
    {"class_type": CLASSES, "inputs": st.dictionaries(INPUTS, LINKS | LINKS | NUMBERS | JSON, max_size=8)}
)
GRAPH = st.dictionaries(IDS, NODE | NODE | NODE | JSON)
SETTINGS = st.dictionaries(
    words(
        """prompt negative_prompt negativeprompt positive_prompt uc c v2 v4_prompt Comment steps num_inference_steps
        guidance cfg_scale cfgscale scale seed width height size resolution model base_model use_stable_diffusion_model
        loras lora lora_paths lora_scales loraweights quantize mflux_version metadata_scheme software image styles"""
    ),
    NUMBERS | JSON,
)
OBJECT = SETTINGS | GRAPH | st.fixed_dictionaries({"sui_image_params": SETTINGS | JSON}) | JSON
NAMES = st.sampled_from(
    ["Steps", "CFG scale", "Distilled CFG Scale", "Seed", "Size", "Model", "Version", "Lora hashes"]
)
PAIRS = st.lists(st.tuples(NAMES | st.text(max_size=8), st.text(max_size=12) | NUMBERS), max_size=8)
LINE = PAIRS.map(lambda pairs: ", ".join(f"{name}: {value}" for name, value in pairs))
LINES = st.lists(LINE | st.text(max_size=20) | st.sampled_from(["Negative prompt: no", "<lora:a:1>"]), max_size=5)
TEXT = OBJECT.map(json.dumps) | LINES.map("\n".join) | st.text(max_size=80)
KEYWORDS = words(
    "flux2 prompt parameters workflow Comment Dream sd-metadata invokeai_metadata num_inference_steps",
    *("XML:com.adobe.xmp", "Raw profile type exif"),
)
MARKS = [("ASCII\0\0\0", "utf-8"), ("UNICODE\0", "utf-16-be"), ("UNICODE\0", "utf-16-le"), ("", "utf-8")]


def picture(image_format: str, texts: dict[str, str], comment: bytes) -> bytes:
    chunks = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        chunks.add_itxt(name, text.replace("\0", "").encode("utf-8", "replace").decode())
    exif = Image.Exif()
    exif[0x8769] = {0x9286: comment}
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, image_format, pnginfo=chunks, exif=exif)
    return file.getvalue()


def read_or_refused(content: bytes) -> None:
    path = FOLDER / "foreign.picture"
    path.write_bytes(content)
    try:
        found = read_settings_of(path)
    except Flux2Error as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
        return
    assert found.program
    assert all(item.what and item.why for item in found.left_out)
    request = GenerationRequest(**{"prompt": "-", **found.values}).validated()
    assert max(request.width or 0, request.height or 0) <= MAX_SIZE


@given(
    st.dictionaries(KEYWORDS, TEXT, max_size=4),
    TEXT,
    st.sampled_from(MARKS),
    st.sampled_from(["PNG", "JPEG", "WEBP"]),
)
@example({"parameters": "a fox\nSteps: 4, Size: infxinf, Seed: 1"}, "", ("", "utf-8"), "PNG")
@example({"prompt": '{"1": {"class_type": "KSampler", "inputs": {"width": 1e999}}}'}, "", ("", "utf-8"), "PNG")
def test_what_pictures_of_other_programs_say(
    texts: dict[str, str], comment: str, encoded: tuple[str, str], image_format: str
) -> None:
    mark, encoding = encoded
    read_or_refused(picture(image_format, texts, mark.encode() + comment.encode(encoding, "replace")))


@given(GRAPH)
def test_graphs(graph: dict[str, Any]) -> None:
    read_or_refused(picture("PNG", {"prompt": json.dumps(graph)}, b""))


WHOLE = [
    picture(kind, {"parameters": "a fox\nSteps: 4, Seed: 1"}, b'ASCII\0\0\0{"mflux_version": "0.9", "prompt": "a fox"}')
    for kind in ("PNG", "JPEG", "WEBP")
]


@given(st.sampled_from(WHOLE).flatmap(mutated))
def test_damaged_files(content: bytes) -> None:
    read_or_refused(content)
