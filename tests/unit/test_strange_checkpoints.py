"""Checkpoints as others leave them: variants, other formats, half downloads, single files; read, or named."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from flux2.checkpoint.files import missing_file
from flux2.checkpoint.layout import open_checkpoint
from flux2.checkpoint.networks import TRANSFORMER, VAE_DECODER, NetworkSource
from flux2.checkpoint.weight_files import readable_form
from flux2.cli import main
from flux2.errors import CheckpointError, RequestError
from flux2.pipeline import Flux2Pipeline
from flux2.store.source import find_vae, repo_to_download
from tests.unit.checkpoints import edit_json, writable_copy, write_raw

SHARDED = Path(__file__).parents[1] / "parity/recordings/base/checkpoint"  # three shards and an index
STEM = "diffusion_pytorch_model"
SHARDS = [f"{STEM}-0000{number}-of-00003" for number in (1, 2, 3)]
INDEX = f"{STEM}.safetensors.index.json"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 11422654\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return writable_copy(SHARDED, tmp_path / "copy")


def rename(folder: Path, names: dict[str, str]) -> None:
    for old, new in names.items():
        (folder / old).rename(folder / new)


def as_variant(folder: Path, variant: str, *, after: bool) -> None:
    """The transformer's shards and index under a variant's names, in one of the two spellings."""
    for shard in SHARDS:
        new = f"{shard}.{variant}" if after else shard.replace(STEM, f"{STEM}.{variant}")
        rename(folder / "transformer", {f"{shard}.safetensors": f"{new}.safetensors"})
    index = folder / "transformer" / INDEX
    text = index.read_text()
    for shard in SHARDS:
        text = text.replace(shard, f"{shard}.{variant}" if after else shard.replace(STEM, f"{STEM}.{variant}"))
    index.unlink()
    name = f"{STEM}.safetensors.index.{variant}.json" if after else f"{STEM}.{variant}.safetensors.index.json"
    (folder / "transformer" / name).write_text(text)


READ: dict[str, Callable[[Path], object]] = {
    "as it is": lambda folder: folder,
    "shards without their index": lambda f: (f / "transformer" / INDEX).unlink(),
    "variant with an index, new spelling": lambda f: as_variant(f, "fp16", after=True),
    "variant with an index, old spelling": lambda f: as_variant(f, "bf16", after=False),
    "variant of the autoencoder": lambda f: rename(f / "vae", {f"{STEM}.safetensors": f"{STEM}.bf16.safetensors"}),
    "variant beside the plain one": lambda f: (f / "vae" / f"{STEM}.fp16.safetensors").write_bytes(b"not read"),
    "index of other shards": lambda f: (
        edit_json(f / "vae" / INDEX, weight_map={"x": f"{STEM}-00001-of-00009.safetensors"})
        if (f / "vae" / INDEX).exists()
        else (f / "vae" / INDEX).write_text(json.dumps({"weight_map": {"x": f"{STEM}-00001-of-00009.safetensors"}}))
    ),
    "config with a byte order mark": lambda f: (f / "vae/config.json").write_text(
        "\ufeff" + (f / "vae/config.json").read_text(), "utf-8"
    ),
}


@pytest.mark.parametrize("case", READ)
def test_other_forms_of_the_same_weights_are_read(folder: Path, case: str) -> None:
    READ[case](folder)
    assert missing_file(folder) is None
    whole, checkpoint = open_checkpoint(SHARDED), open_checkpoint(folder)
    for kind in (TRANSFORMER, VAE_DECODER):
        NetworkSource.check(checkpoint, kind)
    assert checkpoint.transformer.tensors.keys() == whole.transformer.tensors.keys()
    assert checkpoint.vae.nbytes == whole.vae.nbytes


def replace(folder: Path, name: str, content: str | bytes = b"") -> None:
    """Put another file in the place of the autoencoder's weights."""
    (folder / "vae" / f"{STEM}.safetensors").unlink()
    (folder / "vae" / name).write_bytes(content.encode() if isinstance(content, str) else content)


def remove_shard(folder: Path, also: str = "") -> None:
    (folder / "transformer" / f"{SHARDS[1]}.safetensors").unlink()
    if also:
        (folder / also).parent.mkdir(parents=True, exist_ok=True)
        (folder / also).write_bytes(b"half")


SAID: dict[str, tuple[Callable[[Path], object], str]] = {
    "PyTorch's": (lambda f: replace(f, f"{STEM}.bin"), r"there is \S+\.bin in PyTorch's older format.*save_pretrained"),
    "Flax's": (lambda f: replace(f, "diffusion_flax_model.msgpack"), "there is diffusion_flax_model.msgpack in Flax's"),
    "GGUF": (lambda f: replace(f, "vae-Q8_0.gguf"), "there is vae-Q8_0.gguf in the format of llama.cpp"),
    "GGUF under another name": (lambda f: replace(f, f"{STEM}.safetensors", b"GGUF" + bytes(60)), "is a GGUF file"),
    "unknown variant": (lambda f: replace(f, f"{STEM}.fp8.safetensors"), r"\.fp8\.safetensors, a variant that is not"),
    "another name": (lambda f: replace(f, "ae.safetensors"), "there is ae.safetensors; rename it if"),
    "nothing": (
        lambda f: (f / "vae" / f"{STEM}.safetensors").unlink(),
        "is missing; put it there from where the folder",
    ),
    "LFS pointer": (
        lambda f: replace(f, f"{STEM}.safetensors", POINTER),
        r"is a Git LFS pointer and not the file itself; run `git lfs pull` in \S+vae\.",
    ),
    "web page": (
        lambda f: replace(f, f"{STEM}.safetensors", "<!DOCTYPE html><html>"),
        "is a web page and not the file",
    ),
    "config that is a page": (lambda f: (f / "vae/config.json").write_text("\n<html>404"), "config.json is a web page"),
    "config of null": (lambda f: (f / "vae/config.json").write_text("null"), "is not a JSON object; download it again"),
    "broken link": (
        lambda f: ((f / "vae/config.json").unlink(), (f / "vae/config.json").symlink_to("gone.json")),
        r"config\.json is a link to gone\.json, which is gone",
    ),
    "a folder": (
        lambda f: ((f / "vae/config.json").unlink(), (f / "vae/config.json").mkdir()),
        r"config\.json is no file",
    ),
    "a pipe": (
        lambda f: ((f / "vae/config.json").unlink(), os.mkfifo(f / "vae/config.json")),
        r"config\.json is no file",
    ),
    "weights that are a pipe": (
        lambda f: ((f / "vae" / f"{STEM}.safetensors").unlink(), os.mkfifo(f / "vae" / f"{STEM}.safetensors")),
        r"safetensors is no file",
    ),
    "no folder": (lambda f: (f / "vae").rename(f / "v"), r"vae/config\.json is missing"),
    "shards in part": (
        lambda f: (remove_shard(f), (f / "transformer" / INDEX).unlink()),
        "only 2 of 3 shards .* copy the others",
    ),
    "shard missing": (remove_shard, rf"{SHARDS[1]}\.safetensors is missing"),
    "half a download": (
        lambda f: remove_shard(f, f"transformer/{SHARDS[1]}.safetensors.part"),
        r"its download was not finished \(\S+\.part is there\)",
    ),
    "half a download of hf": (
        lambda f: remove_shard(f, ".cache/huggingface/download/transformer/x.incomplete"),
        r"was not finished .* `hf download` with the same --local-dir \S+ goes on",
    ),
    "no model_index": (lambda f: (f / "model_index.json").unlink(), r"model_index\.json is missing; put it there"),
    "a part": (
        lambda f: rename(f, {"model_index.json": "x", "transformer": "y", "vae": "z"}),
        "model_index.json is miss",
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_what_lies_there_instead_is_said(folder: Path, case: str) -> None:
    break_it, sentence = SAID[case]
    break_it(folder)
    assert missing_file(folder) is not None
    with pytest.raises(CheckpointError, match=sentence) as caught:
        open_checkpoint(folder)
    assert str(folder) in str(caught.value) and "download the checkpoint" not in str(caught.value)


def test_a_folder_that_is_no_checkpoint_is_said_what_it_is(tmp_path: Path) -> None:
    cases = {
        "name a folder in the diffusers layout, a Hub repository": (),
        "it holds single files (flux2.safetensors)": ("flux2.safetensors",),
        "it is one part of a model": ("config.json", f"{STEM}.safetensors"),
        "name the folder within it that has one: inner": ("inner/model_index.json",),
        "it is not in the diffusers layout, for its parts": (
            "transformer/0.safetensors",
            "vae/0.safetensors",
            "text_encoder/x",
        ),
        "this is no checkpoint": ("notes.txt",),
    }
    for number, (sentence, names) in enumerate(cases.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("")
        with pytest.raises(CheckpointError, match=re.escape(sentence)):
            open_checkpoint(folder)


# --- quantized by others ----------------------------------------------------------------------------------------------


def quantized(
    suffixes: dict[str, str], dtype: str = "U8", config: dict[str, object] | None = None
) -> Callable[[Path], None]:
    """Give the transformer's matrices another type, and tensors of these suffixes and types beside them."""

    def change(folder: Path) -> None:
        header: dict[str, object] = {}
        for name, info in open_checkpoint(SHARDED).transformer.tensors.items():
            matrix = len(info.shape) == 2
            for key, kind in {name: dtype if matrix else "BF16"}.items() | (
                {name.removesuffix(".weight") + suffix: kind for suffix, kind in suffixes.items()} if matrix else {}
            ).items():
                header[key] = {"dtype": kind, "shape": [0], "data_offsets": [0, 0]}
        for path in (folder / "transformer").glob("*.safetensors*"):
            path.unlink()
        write_raw(folder / "transformer" / f"{STEM}.safetensors", header)
        edit_json(folder / "transformer/config.json", **(config or {}))

    return change


def method(name: str) -> dict[str, object]:
    return {"quantization_config": {"quant_method": name, "load_in_4bit": True}}


QUANTIZED: dict[str, tuple[Callable[[Path], None], str]] = {
    "bitsandbytes nf4": (
        quantized({".weight.absmax": "F32", ".weight.quant_state.bitsandbytes__nf4": "U8"}),
        "are quantized by bitsandbytes (nf4)",
    ),
    "bitsandbytes int8": (quantized({".weight.SCB": "F32"}, "I8"), "are quantized by bitsandbytes (int8)"),
    "bitsandbytes by its config": (
        quantized({".weight.absmax": "F32"}, config=method("bitsandbytes")),
        "are quantized by bitsandbytes, as its config.json says",
    ),
    "fp8 in blocks": (quantized({".weight_scale_inv": "F32"}, "F8_E4M3"), "are quantized to scaled 8-bit floating"),
    "nvfp4": (quantized({".weight_scale": "U8", ".weight_scale_2": "F32"}), "are quantized to NVFP4"),
    "SDNQ": (quantized({".scale": "F32", ".zero_point": "F32"}), "are quantized by SDNQ"),
    "SDNQ by its config": (quantized({".scale": "F32"}, config=method("sdnq")), "are quantized by SDNQ (SD.Next), as"),
    "torchao": (quantized({}, config=method("QuantizationMethod.TORCHAO")), "are quantized by torchao, as"),
    "unheard of": (quantized({}, config=method("frobnicate")), "are quantized by frobnicate, as its config.json says"),
    "MLX without offsets": (quantized({".scales": "U8"}, "U32"), "are quantized by MLX"),
    "Nunchaku": (quantized({".wscales": "BF16", ".qweight": "I8"}), "are quantized by Nunchaku"),
}


@pytest.mark.parametrize("case", QUANTIZED)
def test_who_quantized_it_is_said_and_what_to_use(folder: Path, case: str) -> None:
    change, sentence = QUANTIZED[case]
    change(folder)
    with pytest.raises(CheckpointError, match=re.escape(sentence)) as caught:
        NetworkSource.check(open_checkpoint(folder), TRANSFORMER)
    assert "bfloat16 files, which flux2 quantizes while loading" in str(caught.value)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["x_embedder.lora_A.weight", "x_embedder.lora_B.weight"], "are a LoRA and no model by itself"),
        (["double_blocks.0.img_attn.qkv.weight"], "are in the layout of single files"),
        (["model.diffusion_model.img_in.weight"], "are in the layout of single files"),
    ],
)
def test_other_things_in_the_weights_place_are_said(folder: Path, names: list[str], sentence: str) -> None:
    for path in (folder / "transformer").glob("*.safetensors*"):
        path.unlink()
    entry = {"dtype": "BF16", "shape": [0], "data_offsets": [0, 0]}
    write_raw(folder / "transformer" / f"{STEM}.safetensors", dict.fromkeys(names, entry))
    with pytest.raises(CheckpointError, match=sentence):
        NetworkSource.check(open_checkpoint(folder), TRANSFORMER)


# --- what is no folder ------------------------------------------------------------------------------------------------


def test_a_file_as_the_model_is_said_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    entry = {"dtype": "BF16", "shape": [0], "data_offsets": [0, 0]}
    write_raw(tmp_path / "models/flux-2-klein-4b.safetensors", {"double_stream_modulation_img.lin.weight": entry})
    (tmp_path / "models/klein-Q4.gguf").write_bytes(b"GGUF" + bytes(60))
    for name in ("models/flux-2-klein-4b.safetensors", str(tmp_path / "models/flux-2-klein-4b.safetensors")):
        with pytest.raises(RequestError, match=r"is a single file with the transformer of a FLUX\.2 model.* klein-4b"):
            repo_to_download(name)
    with pytest.raises(
        RequestError, match=r"klein-Q4\.gguf is a single file with a network in the format of llama\.cpp"
    ):
        repo_to_download("models/klein-Q4.gguf")
    with pytest.raises(RequestError, match=r"a single file with .*, where an autoencoder of the Hub or in a folder"):
        find_vae("models/flux-2-klein-4b.safetensors")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("models/typo", "There is no file or folder models/typo; choose pocket"),
        ("models/kleim", "did you mean models/klein?"),
        ("./klein", "There is no file or folder ./klein"),
        ("/no/where", "There is no file or folder /no/where"),
        ("a/b/c", "There is no file or folder a/b/c"),
        ("me/flux-2.safetensors", "There is no file or folder me/flux-2.safetensors"),
        ("C:\\models\\klein", "There is no file or folder"),
        ("FLUX.1-dev", "FLUX.1-dev is FLUX.1 dev, another architecture than FLUX.2's; choose pocket"),
        ("black-forest-labs/FLUX.1-dev", "is FLUX.1 dev, another architecture"),
        ("sdxl", "is Stable Diffusion XL, another architecture"),
        ("klein", "did you mean klein-4b?"),
        ("x" * 5000, "There is no model or folder"),
        ("a\0b", "There is no model or folder"),
        ("", "There is no model or folder"),
    ],
)
def test_a_name_of_nothing_is_answered_without_asking_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models/klein").mkdir(parents=True)
    with pytest.raises(RequestError, match=re.escape(sentence)):
        repo_to_download(name)


def test_a_repository_may_be_called_anything() -> None:
    assert repo_to_download("me/sdxl-turned-flux2") == "me/sdxl-turned-flux2"


def test_the_form_that_is_fetched_is_the_one_that_is_read() -> None:
    both = [f"{STEM}.safetensors", f"{STEM}.fp16.safetensors"]
    assert (form := readable_form(both, STEM)) and form.files == [f"{STEM}.safetensors"]
    assert (form := readable_form(both[1:], STEM)) and form.variant == "fp16"
    assert readable_form([f"{STEM}.fp8.safetensors", f"{STEM}.bin", f"{SHARDS[0]}.safetensors"], STEM) is None


@pytest.mark.parametrize(
    "case", ["PyTorch's", "LFS pointer", "shard missing", "no folder", "fp8 in blocks", "unheard of"]
)
def test_a_plan_is_refused_with_the_sentence_of_a_run(
    folder: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (SAID | QUANTIZED)[case][0](folder)
    with pytest.raises(CheckpointError) as refused:
        Flux2Pipeline.from_pretrained(folder)
    assert main(["plan", "--model", str(folder)]) == 1
    assert capsys.readouterr().err == f"flux2: {refused.value}\n"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--model", "flux.1-dev"], "is FLUX.1 dev, another architecture"),
        (["--model", "kleim-4b"], "did you mean klein-4b?"),
        (["--vae", "nowhere"], "There is no autoencoder in 'nowhere'"),
        (["--model", "me/klein-that-is-not-here"], "`flux2 models download me/klein-that-is-not-here` brings it"),
    ],
)
def test_a_plan_of_nothing_is_refused(options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *options]) == 2
    assert sentence in capsys.readouterr().err
