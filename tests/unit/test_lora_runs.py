"""LoRAs of a request through a run: found by name, planned, recorded in the picture, taken from the Hub."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flux2 import Flux2Pipeline, cli
from flux2 import events as ev
from flux2.architecture.transformer import transformer_shapes
from flux2.checkpoint.manifest import HubFile, storage
from flux2.commands.request_options import add_request_options, read_request
from flux2.errors import CheckpointError, LoraError, RequestError
from flux2.generate import generate
from flux2.inputs.loras import Lora
from flux2.lora.finding import find_local_lora, find_lora, lora_digest
from flux2.pictures.foreign.taken_settings import take_settings
from flux2.pictures.image_metadata import ImageMetadata, text_chunks
from flux2.pictures.images import read_metadata
from flux2.planning.fit import facts_of
from flux2.planning.planner import plan
from flux2.planning.run_facts import Engine
from flux2.request import GenerationRequest
from flux2.request_fields import decisive, lines
from flux2.store.choosing import choose_files
from flux2.store.configs import find_networks
from flux2.worker.local_paths import with_absolute_paths
from tests.unit.lora_files import LAYOUTS, LoraContent, pairs, save_lora, some_changes

POCKET = find_networks("pocket").transformer
REQUEST = GenerationRequest(prompt="a fox", model="pocket", width=64, height=64, steps=1, seed=1)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for LoRAs, with a few for pocket."""
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FLUX2_OUTPUT", str(tmp_path / "pictures"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "loras"
    monkeypatch.setenv("FLUX2_LORAS", str(folder))
    (folder / "styles").mkdir(parents=True)
    changes = dict(list(some_changes(transformer_shapes(POCKET)).items())[4:24])
    save_lora(folder / "woodcut.safetensors", LAYOUTS["kohya"](changes))
    save_lora(folder / "styles" / "Ink.safetensors", LAYOUTS["diffusers"](changes))
    return folder


def test_a_run_records_what_it_used(folder: Path) -> None:
    told: list[ev.Event] = []
    request = replace(REQUEST, loras=(Lora("woodcut", scale=0.8), Lora("styles/Ink", scale=0.0)))
    finished = generate(request, on_event=told.append)
    said = [event.message for event in told if isinstance(event, ev.Logged)]
    assert any("woodcut at 0.8 changes 20 of the transformer's" in text for text in said)
    found = read_metadata(Path(finished.path)).request
    digest = lora_digest(folder / "woodcut.safetensors")
    assert found.loras[0] == Lora("woodcut", digest, 0.8)
    assert lines(found)["loras"] == "woodcut@0.8, Ink@0"


def test_what_decides_is_what_is_in_the_file_and_how_strongly_it_acts() -> None:
    one = replace(REQUEST, loras=(Lora("a", "d1", 0.5), Lora("b", "d2")))
    assert decisive(one) == decisive(replace(REQUEST, loras=(Lora("z", "d2"), Lora("y", "d1", 0.5))))
    assert decisive(one) == decisive(replace(one, loras=(*one.loras, Lora("c", "d3", 0.0))))
    assert decisive(one) != decisive(replace(REQUEST, loras=(Lora("a", "d1", 0.6), Lora("b", "d2"))))
    assert decisive(replace(REQUEST, loras=())) == decisive(REQUEST)


def test_a_picture_tells_nothing_of_this_disk() -> None:
    request = replace(REQUEST, loras=(Lora("/home/me/secret/x.safetensors", "d"), Lora("owner/name:file", "e")))
    text = ImageMetadata(request=request).to_json()
    assert "secret" not in text
    assert [lora.name for lora in ImageMetadata.from_json(text).request.loras] == ["x", "owner/name:file"]


@pytest.mark.parametrize("name", ["woodcut", "woodcut.safetensors", "Woodcut", "styles/Ink", "ink", "Ink.safetensors"])
def test_names_in_the_folder(name: str) -> None:
    assert find_local_lora(name)


def test_a_file_anywhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_local_lora(str(folder / "woodcut.safetensors")) == folder / "woodcut.safetensors"
    monkeypatch.chdir(folder / "styles")
    assert find_local_lora("../woodcut.safetensors")
    sent = with_absolute_paths(replace(REQUEST, loras=(Lora("Ink.safetensors"), Lora("woodcut"))))
    assert [lora.name for lora in sent.loras] == [str(folder / "styles" / "Ink.safetensors"), "woodcut"]


def test_a_folder_with_one_file_is_that_file(folder: Path) -> None:
    assert find_local_lora(str(folder / "styles")) == folder / "styles" / "Ink.safetensors"
    (folder / "styles" / "more.safetensors").touch()
    assert find_local_lora(str(folder / "styles")) is None


def test_one_that_is_not_there_is_said_with_what_is() -> None:
    with pytest.raises(RequestError, match="did you mean woodcut"):
        find_lora(Lora("woodcat"))
    with pytest.raises(RequestError, match="there are styles/Ink, woodcut"):
        find_lora(Lora("nothing-like-it"))


def test_another_file_of_the_same_name_is_not_taken_for_it() -> None:
    with pytest.raises(RequestError, match="another file"):
        find_lora(Lora("woodcut", "0" * 64))


@pytest.mark.parametrize(
    ("typed", "lora"),
    [
        ("style.safetensors", Lora("style.safetensors")),
        ("style@0.5", Lora("style", scale=0.5)),
        ("fal/FLUX.2-dev-Turbo@-1", Lora("fal/FLUX.2-dev-Turbo", scale=-1)),
        ("owner/name:file@0", Lora("owner/name:file", scale=0)),
        ("me@home/style", Lora("me@home/style")),
    ],
)
def test_how_one_is_typed(typed: str, lora: Lora) -> None:
    assert Lora.parse(typed) == lora


@pytest.mark.parametrize("typed", ["", "style@11", "style@nan", "style@-inf"])
def test_strengths_that_make_no_sense(typed: str) -> None:
    with pytest.raises(RequestError):
        Lora.parse(typed)


def test_the_command_line_takes_several() -> None:
    import argparse

    parser = argparse.ArgumentParser()
    add_request_options(parser)
    args = parser.parse_args(["a fox", "--lora", "a@0.5", "--lora", "b", "--sigmas", "1,0.5"])
    request = read_request(args)
    assert request.loras == (Lora("a", scale=0.5), Lora("b")) and request.sigmas == (1.0, 0.5)
    assert GenerationRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request


def test_plan_counts_them_and_refuses_what_a_run_would(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["plan", "--model", "pocket", "--json"]
    assert cli.main(asked) == 0
    without = json.loads(capsys.readouterr().out)
    assert cli.main([*asked, "--lora", "woodcut"]) == 0
    assert json.loads(capsys.readouterr().out) != without
    wide = LoraContent(pairs({"transformer_blocks.0.attn.to_q": (some(4, 64), some(64, 4))}))
    save_lora(folder / "wide.safetensors", wide)
    assert cli.main([*asked, "--lora", "wide"]) != 0
    assert "width 64" in capsys.readouterr().err


def some(*shape: int) -> Any:
    import numpy as np

    return np.ones(shape, np.float32)


@pytest.mark.parametrize("residency", ["resident", "streamed"])
def test_what_they_take_is_planned(residency: str, folder: Path) -> None:
    """Held from the load to the end, to the byte that the file has."""
    request = replace(REQUEST, loras=(Lora("woodcut"),), quantization="int4", residency=residency)
    engine = Engine(dtype="float32", device="cpu")
    with_it, without = (
        plan(find_networks("pocket"), facts_of(asked, find_networks("pocket"), engine))
        for asked in (request, replace(request, loras=()))
    )
    held = with_it.facts.lora_bytes
    size = (folder / "woodcut.safetensors").stat().st_size
    assert 0.9 * size < held <= size
    grown = {phase: peak - without.peaks[phase] for phase, peak in with_it.peaks.items()}
    assert grown == {"encode": 0, "load": held, "denoise": held, "decode": held}

    def measured(loras: Sequence[str]) -> dict[str, int]:
        pipe = Flux2Pipeline.from_pretrained("pocket", dtype="float32", quantization="int4", residency=residency)
        for name in loras:
            pipe.load_lora_weights(name)
        return pipe("a fox", width=64, height=64, num_inference_steps=1, seed=1).peaks

    plain, adapted = measured([]), measured(["woodcut"])
    for phase in ("load", "denoise", "decode"):
        assert adapted[phase] - plain[phase] == pytest.approx(held, abs=0.05 * with_it.peaks["denoise"])


TURBO = {"steps": 2, "guidance": 2.5, "sigmas": [1.0, 0.25]}


@pytest.fixture(params=["json", "toml"])
def sidecar(request: pytest.FixtureRequest, folder: Path) -> Iterator[Path]:
    path = folder / f"woodcut.{request.param}"
    toml = "\n".join(f"{name} = {value}" for name, value in TURBO.items())
    path.write_text(json.dumps(TURBO) if request.param == "json" else toml)
    yield path


def completed(**asked: Any) -> GenerationRequest:
    from flux2.reporting import RunReport

    pipe = Flux2Pipeline.from_pretrained("pocket")
    request = GenerationRequest(prompt="a fox", loras=(Lora("woodcut"),), **asked)
    return pipe.completed(pipe.with_loras_found(request, RunReport())).validated()


@pytest.mark.usefixtures("sidecar")
def test_a_file_beside_it_says_how_it_is_used() -> None:
    found = completed()
    assert (found.steps, found.guidance, found.sigmas) == (2, 2.5, (1.0, 0.25))
    own = completed(steps=3, guidance=4.0)
    assert (own.steps, own.guidance, own.sigmas) == (3, 4.0, None)
    assert completed(steps=2).sigmas == (1.0, 0.25)
    assert completed(sigmas=(0.9,)).steps == 1


@pytest.mark.parametrize("text", ["steps = many", '"much" ==', "sigmas = 5", "steps = 3\nsigmas = [1.0, 0.5]"])
def test_a_file_beside_it_that_makes_no_sense(text: str, folder: Path) -> None:
    (folder / "woodcut.toml").write_text(text)
    with pytest.raises(LoraError, match=r"woodcut\.toml"):
        completed()


def test_a_file_of_other_programs_beside_it_is_left_alone(folder: Path) -> None:
    (folder / "woodcut.json").write_text('{"modelId": 5, "name": "Woodcut"}')
    assert completed().sigmas is None


def test_sigmas_and_steps_have_to_agree() -> None:
    with pytest.raises(RequestError, match="2 sigmas for 3 steps"):
        replace(REQUEST, steps=3, sigmas=(1.0, 0.5)).validated()


@pytest.mark.parametrize("sigmas", [(), (0.5, 1.0), (1.0, 0.0), (1.2, 0.5), (1.0, 1.0)])
def test_sigmas_that_make_no_sense(sigmas: tuple[float, ...]) -> None:
    with pytest.raises(RequestError, match="have to fall"):
        replace(REQUEST, steps=None, sigmas=sigmas).validated()


REPOSITORY = [HubFile(path, 9, "0" * 40) for path in ("README.md", "turbo.safetensors", "comfy/turbo-c.safetensors")]


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (("turbo.safetensors", "*/turbo.safetensors", "turbo.json"), ["turbo.safetensors"]),
        (("turbo-c.safetensors", "*/turbo-c.safetensors"), ["comfy/turbo-c.safetensors"]),
        (("*.safetensors",), "several"),
        (("gone.safetensors",), "no such"),
    ],
)
def test_of_a_repository_one_file_is_fetched(patterns: tuple[str, ...], chosen: list[str] | str) -> None:
    if isinstance(chosen, str):
        with pytest.raises(CheckpointError, match=chosen):
            choose_files("owner/name", REPOSITORY, patterns)
    else:
        assert [file.path for file in choose_files("owner/name", REPOSITORY, patterns)] == chosen


def test_what_the_hubs_cache_has_needs_no_network(folder: Path) -> None:
    snapshot = storage("owner/name") / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    (folder / "woodcut.safetensors").rename(snapshot / "cut.safetensors")
    assert find_local_lora("owner/name") == find_local_lora("owner/name:cut") == snapshot / "cut.safetensors"
    assert find_local_lora("owner/name:other") is None


def a1111(path: Path, prompt: str) -> Path:
    from PIL import Image, PngImagePlugin

    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("parameters", f'{prompt}\nSteps: 4, Seed: 5, Size: 64x64, Lora hashes: "woodcut: abc, fur: def"')
    Image.new("RGB", (64, 64)).save(path, pnginfo=chunks)
    return path


def test_loras_of_other_programs_are_found_in_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = a1111(tmp_path / "a.png", r"a fox <lora:woodcut:0.6> <lora:flux\ink:1> <lora:fur:0.5>")
    taken = take_settings(path, {"model": "pocket"})
    assert taken.request.loras == (Lora("woodcut", scale=0.6), Lora("styles/Ink"))
    assert taken.request.prompt == "a fox"
    assert [str(item) for item in taken.found.left_out if "LoRA" in str(item)] == [
        "LoRA fur at 0.5 (it is not in the folder for LoRAs)"
    ]
    assert cli.main(["info", str(path)]) == 0
    assert "woodcut@0.6, Ink" in capsys.readouterr().out
    assert cli.main(["info", "--json", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["loras"][0]["scale"] == 0.6


def test_loras_of_our_own_pictures(tmp_path: Path) -> None:
    from PIL import Image

    asked = replace(REQUEST, loras=(Lora("woodcut", "d", 0.5), Lora("gone", "e"), Lora("owner/name:file", "f")))
    path = tmp_path / "ours.png"
    Image.new("RGB", (64, 64)).save(path, pnginfo=text_chunks(ImageMetadata(request=asked)))
    taken = take_settings(path, {})
    assert taken.request.loras == (asked.loras[0], asked.loras[2])
    assert "LoRA gone (it is not in the folder for LoRAs)" in [str(item) for item in taken.found.left_out]
