"""Models put together of single files, or saved by mflux: what they are of, what goes with them, and a whole run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mlx.utils import tree_flatten

from flux2 import Flux2Pipeline
from flux2.backend.mlx import mx
from flux2.checkpoint.networks import TRANSFORMER, VAE_DECODER, NetworkSource
from flux2.cli import main
from flux2.errors import CheckpointError, Flux2Error, RequestError
from flux2.generate import generate
from flux2.paths import pocket_checkpoint
from flux2.pictures.images import read_metadata
from flux2.planning.planner import plan
from flux2.planning.run_facts import RunFacts
from flux2.quantization.from_disk import find_prequantized
from flux2.quantization.linear import MODES
from flux2.quantization.to_disk import quantize_transformer
from flux2.request import GenerationRequest
from flux2.store.configs import find_networks
from flux2.store.inventory import list_models
from flux2.store.local import resolve_name
from flux2.store.resolved import resolve_model
from tests.unit.single_files import (
    RECORDINGS,
    behind,
    bfl_autoencoder,
    bfl_transformer,
    plain,
    save,
    save_gguf,
    save_mflux,
    save_typed,
    tensors_of,
    transformer_of_zeros,
)

POCKET = pocket_checkpoint()
DISTILLED = RECORDINGS / "distilled" / "checkpoint"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pocket's transformer as ComfyUI has it."""
    weights = behind("model.diffusion_model.", bfl_transformer(tensors_of(POCKET)))
    return save(tmp_path_factory.mktemp("files") / "pocket.safetensors", weights)


def picture(model: str | Path, **others: str) -> np.ndarray:
    pipe = Flux2Pipeline.from_pretrained(str(model), **others)  # type: ignore[arg-type]
    return np.array(pipe("a red fox", width=64, height=64, num_inference_steps=2, seed=1).images[0])


# --- a run ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole() -> np.ndarray:
    return picture(DISTILLED)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The transformer of the smallest checkpoint as BFL has it; its size is none of the catalog's."""
    return save(tmp_path_factory.mktemp("files") / "small.safetensors", bfl_transformer(tensors_of(DISTILLED)))


def test_the_picture_is_the_models(small: Path, whole: np.ndarray) -> None:
    base = str(DISTILLED)
    assert np.array_equal(picture(small, base=base), whole)
    assert np.array_equal(picture(small, base=base, residency="streamed"), whole)
    assert np.array_equal(picture(small, base=base, quantization="int4"), picture(DISTILLED, quantization="int4"))


def test_an_autoencoder_and_a_text_encoder_of_their_own_files(tmp_path: Path, small: Path, whole: np.ndarray) -> None:
    vae = save(tmp_path / "ae.safetensors", bfl_autoencoder(tensors_of(DISTILLED, "vae")))
    tensors = tensors_of(DISTILLED, "text_encoder")
    del tensors["model.norm.weight"]  # ComfyUI's are cut off after the last layer that is needed
    text_encoder = save(tmp_path / "qwen.safetensors", tensors)
    assert np.array_equal(picture(DISTILLED, vae=str(vae), text_encoder=str(text_encoder)), whole)
    others = {"vae": str(vae), "text_encoder": str(DISTILLED), "base": str(DISTILLED)}
    assert np.array_equal(picture(small, **others), whole)


def test_a_text_encoder_of_8_bits(tmp_path: Path) -> None:
    """Its table of words is read by rows, its matrices a few at a time: both are decoded."""
    stored, meant = {}, {}
    for number, (name, tensor) in enumerate(tensors_of(DISTILLED, "text_encoder").items()):
        stored[name], meant[name] = plain(tensor), tensor
        if tensor.ndim == 2:
            codes = np.random.default_rng(number).integers(0, 96, tensor.shape, np.uint8)
            stored[name] = ("F8_E4M3", codes)
            stored[name.removesuffix("weight") + "weight_scale"] = ("F32", np.array(0.05, np.float32))
            meant[name] = (mx.from_fp8(mx.array(codes), mx.float32) * 0.05).astype(mx.bfloat16)
    found = picture(DISTILLED, text_encoder=str(save_typed(tmp_path / "fp8.safetensors", stored)))
    assert np.array_equal(found, picture(DISTILLED, text_encoder=str(save(tmp_path / "plain.safetensors", meant))))


def test_what_flux2_quantize_makes_of_a_file_is_found(file: Path) -> None:
    made = quantize_transformer(str(file), "int4")
    assert made.made and not quantize_transformer(str(file), "int4").made
    source = NetworkSource.check(resolve_model(str(file)).checkpoint, TRANSFORMER)
    assert find_prequantized(source, MODES["int4"])
    assert find_networks(str(file)).prepared == {"int4"}


def test_a_file_is_planned_as_its_model(file: Path) -> None:
    facts = RunFacts(quantization="int4")
    assert plan(replace(find_networks(str(file)), prepared=frozenset()), facts) == plan(find_networks("pocket"), facts)


@pytest.mark.parametrize("bits", [3, 5, 6, 8])
def test_what_mflux_saved_is_what_it_stands_for(tmp_path: Path, bits: int) -> None:
    model = resolve_model(str(save_mflux(tmp_path / "saved", DISTILLED, bits)), base=str(DISTILLED))
    for kind, part in ((TRANSFORMER, "transformer"), (VAE_DECODER, "vae"), (None, "text_encoder")):
        source = (
            NetworkSource.check(model.checkpoint, kind) if kind else NetworkSource.check_text_encoder(model.checkpoint)
        )
        weights = tensors_of(DISTILLED, part)
        for tensor in source.plan.tensors:
            expected = weights[tensor.name]
            if expected.ndim == 2 and expected.shape[1] % 64 == 0:
                parts = mx.quantize(expected, group_size=64, bits=bits)
                expected = mx.dequantize(*parts, group_size=64, bits=bits)
            assert mx.array_equal(tensor.read(), expected), tensor.name


def test_codes_of_the_wanted_bits_are_taken_as_they_are(tmp_path: Path) -> None:
    """Decoding and quantizing them again would move them; `flux2 quantize` keeps the same."""
    saved, base = save_mflux(tmp_path / "saved", DISTILLED, 4), str(DISTILLED)
    source = NetworkSource.check(resolve_model(str(saved), base=base).checkpoint, TRANSFORMER)
    quantize_transformer(str(saved), "int4", base=base)
    prepared = find_prequantized(source, MODES["int4"])
    assert prepared
    name = "single_transformer_blocks.0.attn.to_out"
    expected = mx.quantize(tensors_of(DISTILLED)[f"{name}.weight"], group_size=64, bits=4)
    for network in (source.load(mx.float32, MODES["int4"]), prepared.load(mx.float32)):
        found = dict(tree_flatten(network.parameters()))
        for end, array in zip(("weight", "scales", "biases"), expected, strict=True):
            assert mx.array_equal(found[f"{name}.{end}"], array)


def test_what_mflux_saved_draws(tmp_path: Path, whole: np.ndarray) -> None:
    assert np.array_equal(picture(save_mflux(tmp_path / "saved", DISTILLED, None), base=str(DISTILLED)), whole)


# --- what a file is of ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "name", "said", "meant"),
    [
        ("dev", "anything.safetensors", None, "dev"),
        ("klein-4b", "flux-2-klein-4b.safetensors", None, "klein-4b"),
        ("klein-4b", "flux-2-klein-base-4b-fp8.safetensors", None, "klein-base-4b"),
        ("klein-9b", "flux-2-klein-9b.safetensors", None, "klein-9b"),
        ("klein-9b", "flux-2-klein-9b.safetensors", "klein-base-9b", "klein-base-9b"),
        ("klein-9b", "x.safetensors", "FLUX.2-klein-9B", "klein-9b"),
    ],
)
def test_shapes_tell_the_family_and_names_are_hints(
    tmp_path: Path, model: str, name: str, said: str | None, meant: str
) -> None:
    networks = find_networks(str(transformer_of_zeros(tmp_path / name, model)), base=said)
    assert networks == find_networks(meant)


@pytest.mark.parametrize(
    ("model", "name", "said", "sentence"),
    [
        ("klein-4b", "my-merge-v2.safetensors", None, r"say --base klein-4b \(4 steps\) or --base klein-base-4b \(50"),
        ("klein-4b", "flux-2-klein-9b.safetensors", None, "say --base klein-4b"),
        ("klein-9b", "x.safetensors", "klein-4b", r"of klein-9b, .* or klein-base-9b \(width 4096.*not of klein-4b"),
        ("klein-9b", "x.safetensors", "klein-5b", "--base: There is no model or folder 'klein-5b'; did you mean klein"),
    ],
)
def test_where_nothing_tells_the_option_is_named(
    tmp_path: Path, model: str, name: str, said: str | None, sentence: str
) -> None:
    with pytest.raises(RequestError, match=sentence):
        find_networks(str(transformer_of_zeros(tmp_path / name, model)), base=said)


def test_a_size_that_nobody_knows_needs_a_base(tmp_path: Path) -> None:
    file = save(tmp_path / "odd.safetensors", bfl_transformer(tensors_of(DISTILLED)))
    with pytest.raises(
        RequestError, match=r"no known size \(width 64, 1 double and 2 single blocks\); name with --base"
    ):
        resolve_model(str(file))
    assert resolve_model(str(file), base=str(DISTILLED)).checkpoint.guidance == "distilled"


def test_a_base_is_for_files_alone() -> None:
    with pytest.raises(RequestError, match="--base says what a single file is of, and pocket is none"):
        resolve_model("pocket", base="pocket")


# --- the folder for them ----------------------------------------------------------------------------------------------


def test_the_folder_for_files_is_listed(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLUX2_WEIGHTS", str(tmp_path))
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "mine.safetensors").symlink_to(file)
    transformer_of_zeros(tmp_path / "my-merge.safetensors", "klein-4b")
    save(tmp_path / "a-lora.safetensors", {"x.lora_A.weight": mx.zeros((2, 2))})
    (tmp_path / "half.gguf").write_bytes(b"GGUF")
    (tmp_path / "gone.gguf").symlink_to(tmp_path / "nowhere")
    found = {entry.title: entry for entry in list_models() if entry.state == "file"}
    assert {title: entry.bases for title, entry in found.items()} == {
        "mine.safetensors": ("pocket",),
        "my-merge.safetensors": ("klein-4b", "klein-base-4b"),
    }
    assert found["mine.safetensors"].size == file.stat().st_size
    assert main(["models"]) == 0
    assert "/unet, of pocket" in capsys.readouterr().out
    for name in ("unet/mine.safetensors", "mine.safetensors"):
        assert resolve_name(name) == str(tmp_path / "unet" / "mine.safetensors")
    assert resolve_name("klein-4b") == "klein-4b"


def test_a_request_says_what_its_file_is_of(tmp_path: Path, file: Path) -> None:
    """So that the picture tells it, and the next run does not go by a name."""
    request = GenerationRequest(prompt="a fox", model=str(file), width=64, height=64, steps=1, output=f"{tmp_path}/")
    finished = generate(request)
    assert read_metadata(Path(finished.path)).request.base == "pocket"


# --- what can't be read -----------------------------------------------------------------------------------------------


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


FAULTS = {
    "cut short": (truncated, "pocket.safetensors is cut short: .* download it again"),
    "empty": (lambda path: path.write_bytes(b""), "is not a safetensors file or is cut short"),
    "a page": (lambda path: path.write_bytes(b"<!DOCTYPE html><html>" * 9), "is a web page and not the file itself"),
    "FLUX.1": (
        lambda path: save(path, {"double_blocks.0.img_mod.lin.weight": mx.zeros((2, 2))}),
        "is a network of FLUX.1's, and no part of FLUX.2",
    ),
    "a LoRA": (
        lambda path: save(path, {"double_blocks.0.img_attn.qkv.lora_A.weight": mx.zeros((2, 2))}),
        "are a LoRA and no model by itself",
    ),
    "something": (lambda path: save(path, {"fox": mx.zeros((2, 2))}), r"holds no transformer.*\(but fox\)"),
    "an autoencoder": (
        lambda path: save(path, bfl_autoencoder(tensors_of(POCKET, "vae"))),
        "is an autoencoder and no whole model; give it as --vae",
    ),
    "a text encoder": (
        lambda path: save(path, tensors_of(POCKET, "text_encoder")),
        "is a text encoder and no whole model; give it as --text-encoder",
    ),
    "half of it": (
        lambda path: save(path, {"double_stream_modulation_img.lin.weight": mx.zeros((2, 2))}),
        "holds only a part of a transformer: img_in.weight is missing",
    ),
    "bitsandbytes": (
        lambda path: save(
            path,
            {
                "double_stream_modulation_img.lin.weight": mx.zeros((2, 1)),
                "double_stream_modulation_img.lin.weight.quant_state.bitsandbytes__nf4": mx.zeros((2,)),
            },
        ),
        r"are quantized by bitsandbytes \(nf4\), which is not read here; use the model's own bfloat16",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_sentence_says_what_a_file_is_instead(tmp_path: Path, file: Path, fault: str) -> None:
    change, sentence = FAULTS[fault]
    path = Path(shutil.copy(file, tmp_path / "pocket.safetensors"))
    change(path)
    with pytest.raises(Flux2Error, match=sentence) as caught:
        resolve_model(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_may_have_the_wrong_ending(tmp_path: Path) -> None:
    """What it is stands at its beginning."""
    weights = bfl_transformer(tensors_of(POCKET))
    save_gguf(tmp_path / "a", weights, "Q8_0", lambda _: True).rename(tmp_path / "pocket.safetensors")
    save(tmp_path / "b.safetensors", weights).rename(tmp_path / "pocket.gguf")
    for name in ("pocket.safetensors", "pocket.gguf"):
        assert resolve_model(str(tmp_path / name)).card


def test_parts_in_each_others_place_are_named(tmp_path: Path, file: Path) -> None:
    with pytest.raises(CheckpointError, match="is a transformer, where an autoencoder is wanted; give it as --model"):
        resolve_model("pocket", vae=str(file))
    layer = {"self_attn.q_proj.weight": mx.zeros((8, 8)), "input_layernorm.weight": mx.zeros((4096,))}
    other = save(tmp_path / "wide.safetensors", behind("model.layers.0.", layer))
    with pytest.raises(CheckpointError, match="is a text encoder of width 4096, and the model's is 64 wide"):
        resolve_model("pocket", text_encoder=str(other))
