"""Branches beside weights of any kind: at few bits, streamed, in part, kept and let go of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flux2 import Flux2Pipeline
from flux2.backend.mlx import mx, nn
from flux2.errors import LoraError, RequestError
from flux2.inputs.checks import QUANTIZATIONS
from flux2.lora.branches import Adapted, Branch, Dense, InParts, Kronecker, LowRank
from flux2.quantization.linear import QuantizedLinear, find_mode
from tests.unit.lora_files import LAYOUTS, LoraContent, pairs, save_lora, some_changes
from tests.unit.test_lora_layouts import CHECKPOINT, SHAPES

OUTPUTS, INPUTS = 192, 128
RANDOM = np.random.default_rng(5)


def numbers(*shape: int) -> mx.array:
    return mx.array(RANDOM.standard_normal(shape, dtype=np.float32))


W1, W2, DOWN, UP, WHOLE = (
    numbers(3, 4),
    numbers(64, 32),
    numbers(4, INPUTS),
    numbers(OUTPUTS, 4),
    numbers(OUTPUTS, INPUTS),
)
LEFT, RIGHT = numbers(128, 2), numbers(2, 32)
TALL = numbers(6, 4), numbers(64, 32)
KINDS: dict[str, tuple[Branch, np.ndarray]] = {
    "low rank": (LowRank(DOWN, UP, 0.5), 0.5 * np.array(UP @ DOWN)),
    "dense": (Dense(WHOLE, 0.5), 0.5 * np.array(WHOLE)),
    "Kronecker": (Kronecker(W1, (W2,), 0, 0.5), 0.5 * np.kron(W1, W2)),
    "Kronecker, factored": (
        Kronecker(numbers(6, 4)[:3], (LEFT, RIGHT), 64, 1.0),
        np.zeros(0),
    ),
    "rows of a Kronecker": (Kronecker(TALL[0], (TALL[1],), 100, 1.0), np.kron(*TALL)[100 : 100 + OUTPUTS]),
    "in parts": (
        InParts(((16, 80, LowRank(DOWN, UP[:64], 1.0)), (100, 192, Dense(WHOLE[:92], 1.0)))),
        np.concatenate(
            [np.zeros((16, INPUTS)), np.array(UP[:64] @ DOWN), np.zeros((20, INPUTS)), np.array(WHOLE[:92])]
        ),
    ),
}
FACTORED = KINDS["Kronecker, factored"][0]
KINDS["Kronecker, factored"] = (
    FACTORED,
    np.kron(np.array(FACTORED.first), np.array(LEFT @ RIGHT))[64 : 64 + OUTPUTS],  # type: ignore[attr-defined]
)


@pytest.mark.parametrize("level", QUANTIZATIONS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("some", [slice(None), slice(0, 64), slice(64, None), slice(90, 130)])
def test_a_branch_adds_what_float32_says(level: str, kind: str, some: slice) -> None:
    """Beside weights of few bits, too: they are as they were, and the change is not rounded to their codes."""
    branch, change = KINDS[kind]
    weight, x = numbers(OUTPUTS, INPUTS).astype(mx.bfloat16), numbers(2, 5, INPUTS)
    mode = find_mode(level)
    base: Any = nn.Linear(INPUTS, OUTPUTS, bias=False)
    base.weight = weight
    base = QuantizedLinear(weight, mode) if mode else base
    plain = np.array(Adapted(base, [], OUTPUTS).outputs(x, some))
    ours = np.array(Adapted(base, [(0.7, branch), (0.3, branch)], OUTPUTS).outputs(x, some))
    wanted = plain + np.array(x) @ change.T[:, some].astype(np.float32)
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loras")
    return save_lora(folder / "style.safetensors", LAYOUTS["kohya"](some_changes(SHAPES)))


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLUX2_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def pipeline(**how: Any) -> Flux2Pipeline:
    return Flux2Pipeline.from_pretrained(CHECKPOINT, dtype="float32", **how)


def latents(pipe: Flux2Pipeline) -> np.ndarray:
    found: list[np.ndarray] = []

    def keep(_pipe: Flux2Pipeline, _step: int, _sigma: float, tensors: dict[str, mx.array]) -> None:
        found.append(np.array(tensors["latents"]))

    pipe(
        "a fox", height=64, width=64, num_inference_steps=2, seed=1, max_sequence_length=512, callback_on_step_end=keep
    )
    return found[-1]


@pytest.fixture(scope="module")
def pipe() -> Flux2Pipeline:
    return pipeline()


@pytest.mark.parametrize("level", ["bf16", "int4"])
def test_streamed_is_the_same(level: str, lora: Path) -> None:
    whole, streamed = pipeline(quantization=level), pipeline(quantization=level, residency="streamed")
    plain = latents(whole)
    for each in (whole, streamed):
        each.load_lora_weights(lora)
    assert (latents(streamed) == latents(whole)).all()
    assert np.abs(latents(whole) - plain).max() > 0.1


def test_adapters_by_diffusers_names(pipe: Flux2Pipeline, lora: Path) -> None:
    plain = latents(pipe)
    pipe.load_lora_weights(str(lora))
    assert pipe.get_active_adapters() == ["style"] and pipe.get_list_adapters() == {"transformer": ["style"]}
    once = latents(pipe)
    pipe.set_adapters("style", 0.0)
    assert (latents(pipe) == plain).all()
    pipe.load_lora_weights(lora, adapter_name="again")
    pipe.set_adapters(["style", "again"], [0.25, 0.75])
    np.testing.assert_allclose(latents(pipe), once, atol=2e-4)
    pipe.disable_lora()
    assert (latents(pipe) == plain).all()
    pipe.enable_lora()
    pipe.delete_adapters("again")
    assert pipe.get_active_adapters() == ["style"]
    pipe.unload_lora_weights()
    assert pipe.get_list_adapters() == {} and (latents(pipe) == plain).all()


def test_other_levels_share_them(pipe: Flux2Pipeline, lora: Path) -> None:
    pipe.load_lora_weights(lora)
    assert pipe.with_quantization("int4").get_active_adapters() == ["style"]
    pipe.unload_lora_weights()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda pipe, lora: pipe.load_lora_weights(lora.parent / "gone.safetensors"), RequestError, "There is no LoRA"),
        (lambda pipe, _: pipe.load_lora_weights({"x": 1}), RequestError, "read from a file"),
        (lambda pipe, lora: pipe.load_lora_weights(lora, adapter_name="style"), RequestError, "already"),
        (lambda pipe, _: pipe.set_adapters("other"), RequestError, "no adapter 'other'"),
        (lambda pipe, _: pipe.set_adapters(["style"], [1.0, 2.0]), RequestError, "give as many"),
        (lambda pipe, _: pipe.set_adapters("style", "much"), RequestError, "give a number"),
        (lambda pipe, _: pipe.set_adapters("style", 99.0), RequestError, "out of range"),
        (lambda pipe, _: pipe.delete_adapters("other"), RequestError, "no adapter 'other'"),
    ],
)
def test_what_makes_no_sense_is_said_and_changes_nothing(
    call: Any, error: type[Exception], words: str, pipe: Flux2Pipeline, lora: Path
) -> None:
    pipe.unload_lora_weights()
    pipe.load_lora_weights(lora)
    with pytest.raises(error, match=words):
        call(pipe, lora)
    assert pipe.get_active_adapters() == ["style"] and pipe.active_loras[0].scale == 1.0
    pipe.unload_lora_weights()


def test_one_that_does_not_fit_is_refused_before_any_work(pipe: Flux2Pipeline, tmp_path: Path) -> None:
    content = LoraContent(
        pairs({"transformer_blocks.0.attn.to_q": (np.ones((2, 128), np.float32), np.ones((128, 2), np.float32))})
    )
    path = save_lora(tmp_path / "wide.safetensors", content)
    with pytest.raises(LoraError, match="width 128"):
        pipe.load_lora_weights(path)
    assert pipe.get_list_adapters() == {}
