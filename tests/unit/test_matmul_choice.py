"""The fastest way of multiplying is found by trials, remembered on the disk, and whichever it is gives the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flux2.backend.chip import read_chip
from flux2.backend.mlx import mx, nn
from flux2.checkpoint.layout import open_checkpoint
from flux2.checkpoint.networks import TRANSFORMER, NetworkSource
from flux2.denoise.noise import torch_noise
from flux2.denoise.schedule import SchedulerConfig
from flux2.denoise.steps import DenoisingPlan, condition, denoise, pack
from flux2.denoise.transformer_loading import TransformerLoader
from flux2.models.layers import outputs
from flux2.paths import cache_dir, pocket_checkpoint
from flux2.quantization import matmul_choice
from flux2.quantization.linear import MODES, Quantization, QuantizedLinear
from flux2.quantization.matmul_choice import WAYS, Multiplication, Weight, choose, multiply
from flux2.reporting import RunReport

FEW, MANY = (Multiplication.of(4, 256, 128, rows, mx.float32) for rows in (2, 1000))


def candidates_on_metal(bits: int) -> list[str]:
    return ["dequantized", "unpacked", "quantized"] if bits == 8 else ["dequantized", "quantized"]


class Machine:
    """A clock that only the ways of multiplying move, each by so much per trial and per row and output."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **costs: tuple[float, float]) -> None:
        self.now = 0.0
        self.trials: list[tuple[str, int, int]] = []
        monkeypatch.setattr(matmul_choice, "candidates", candidates_on_metal)
        for name in WAYS:
            monkeypatch.setitem(WAYS, name, self._way(name, *costs.get(name, (0.0, 1e-3))))

    def clock(self) -> float:
        return self.now

    def _way(self, name: str, start: float, each: float) -> matmul_choice.Way:
        def way(x: mx.array, weight: Weight, bits: int) -> mx.array:  # noqa: ARG001
            self.now += start + each * x.shape[0] * weight[0].shape[0]
            self.trials.append((name, x.shape[0], weight[0].shape[0]))
            return x

        return way


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path))
    known = dict(matmul_choice._known)
    forget()
    yield
    forget()
    matmul_choice._known.update(known)


def forget() -> None:
    """Forget what was measured, as another process would."""
    matmul_choice._known.clear()
    matmul_choice._known_from = None


def test_few_and_many_rows_may_want_different_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, dequantized=(1e-5, 1e-10), quantized=(0, 1e-9))
    choose([FEW, MANY], machine.clock)
    assert matmul_choice._known == {FEW: "quantized", MANY: "dequantized"}
    assert ("quantized", 1024, 256) in machine.trials  # at the real size, as neither was slow


def test_a_way_that_would_be_slow_is_left_behind_early(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, dequantized=(1e-3, 1e-12), quantized=(0, 1e-5))
    choose([MANY], machine.clock)
    assert matmul_choice._known == {MANY: "dequantized"}
    assert max(rows for name, rows, _ in machine.trials if name == "quantized") == 64
    assert machine.now < 0.3


def test_a_little_faster_is_not_worth_other_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, dequantized=(0, 1.05e-9), quantized=(0, 1e-9))
    choose([MANY], machine.clock)
    assert matmul_choice._known == {MANY: "dequantized"}


def test_only_bytes_are_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, unpacked=(0, 1e-10), dequantized=(0, 1e-9), quantized=(0, 1e-9))
    wide = MANY._replace(bits=8)
    choose([MANY, wide], machine.clock)
    assert matmul_choice._known == {MANY: "dequantized", wide: "unpacked"}


def test_measuring_ends_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, dequantized=(0.2, 0), quantized=(0.2, 0))
    wanted = [FEW._replace(inputs=64 * factor) for factor in range(1, 20)]
    choose(wanted, machine.clock)
    assert machine.now < matmul_choice.SECONDS + 4
    assert 0 < len(matmul_choice._known) < len(wanted)
    assert multiply(mx.zeros((2, 64 * 19)), (mx.zeros((256, 1)),) * 3, 4) is not None  # in the first way


def test_what_was_measured_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, dequantized=(0, 1e-9), quantized=(0, 1e-10))
    choose([MANY], machine.clock)
    forget()
    tried = len(machine.trials)
    choose([MANY], machine.clock)
    assert len(machine.trials) == tried
    assert matmul_choice._known == {MANY: "quantized"}
    choose([MANY, FEW], machine.clock)
    assert len(machine.trials) > tried


@pytest.mark.parametrize("content", ["", "[[1]]", '[["x"', '[[4, 256, 128, 10, "float32", "by hand"]]', "{}", "3"])
def test_a_damaged_memory_is_measured_anew(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    machine = Machine(monkeypatch, dequantized=(0, 1e-9))
    choose([MANY], machine.clock)
    (file,) = (cache_dir() / "matmul").iterdir()
    file.write_text(content)
    forget()
    choose([MANY], machine.clock)
    assert matmul_choice._known == {MANY: "dequantized"}


def test_a_cache_that_cant_be_written_costs_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("FLUX2_HOME", str(blocked))
    choose([MANY], Machine(monkeypatch, dequantized=(0, 1e-9)).clock)
    assert matmul_choice._known == {MANY: "dequantized"}


@pytest.mark.parametrize("mode", [mode for mode in MODES.values() if mode], ids=lambda mode: mode.name)
def test_every_way_gives_the_same_product(mode: object) -> None:
    weight = mx.random.normal((96, 128), key=mx.random.key(0)).astype(mx.bfloat16)
    x = mx.random.normal((2, 5, 128), key=mx.random.key(1))
    linear = QuantizedLinear(weight, mode)  # type: ignore[arg-type]
    stored = (linear.weight, linear.scales.astype(x.dtype), linear.biases.astype(x.dtype))
    products = {name: WAYS[name](x, stored, linear.bits) for name in ("banded", *candidates_on_metal(linear.bits))}
    assert len(products) == 3 + (linear.bits == 8)
    for name, product in products.items():
        assert mx.allclose(product, linear(x), rtol=1e-4, atol=1e-4), name


@pytest.mark.parametrize("mode", MODES.values(), ids=lambda mode: mode.name if mode else "bf16")
def test_some_outputs_are_those_of_all(mode: Quantization | None) -> None:
    weight = mx.random.normal((192, 128), key=mx.random.key(0)).astype(mx.bfloat16)
    x = mx.random.normal((2, 5, 128), key=mx.random.key(1))
    linear = nn.Linear(128, 192, bias=False)
    linear.weight = weight
    if mode:
        linear = QuantizedLinear(weight, mode)
    first, others = outputs(linear, x, stop=64), outputs(linear, x, start=64)
    assert first.shape == (2, 5, 64)
    assert mx.allclose(mx.concatenate([first, others], axis=-1), linear(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("backend", "bits", "ways"),
    [
        ("cpu", 8, ["banded"]),
        ("cuda", 4, ["kernel", "dequantized"]),
        ("cuda", 5, ["kernel", "dequantized"]),
        ("cuda", 8, ["kernel", "dequantized"]),
        ("metal", 4, ["dequantized", "quantized"]),
        ("metal", 6, ["dequantized", "quantized"]),
        ("metal", 8, ["dequantized", "unpacked", "quantized"]),
    ],
)
def test_tries_what_is_worth_it_on_each_backend(
    monkeypatch: pytest.MonkeyPatch, backend: str, bits: int, ways: list[str]
) -> None:
    chip = read_chip({"device_name": "a chip"}, on_cpu=True, physical=1)
    monkeypatch.setattr(matmul_choice, "this_chip", lambda: replace(chip, backend=backend))  # type: ignore[arg-type]
    assert matmul_choice.candidates.__wrapped__(bits) == ways


def test_where_there_is_one_way_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    monkeypatch.setattr(matmul_choice, "candidates", lambda _: ["banded"])
    assert choose([FEW, MANY], machine.clock) == {FEW: "banded", MANY: "banded"}
    assert machine.trials == []


def test_a_run_measures_what_its_steps_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Multiplication] = []
    monkeypatch.setattr("flux2.denoise.transformer_loading.choose", asked.extend)
    source = NetworkSource.check(open_checkpoint(pocket_checkpoint()), TRANSFORMER)
    plan = DenoisingPlan(
        height=256,
        width=128,
        steps=4,
        guidance=1.0,
        scheduler=SchedulerConfig(use_dynamic_shifting=True, shift=1.0, time_shift_type="exponential"),
        embeddings=mx.zeros((1, 64, source.config.joint_attention_dim)),
    )
    with TransformerLoader(source, MODES["int4"], mx.float32).ready(plan, RunReport()) as ready:
        used: set[Multiplication] = set()

        def watch(x: mx.array, weight: Weight, bits: int) -> mx.array:
            used.add(Multiplication.of(bits, weight[0].shape[0], x.shape[-1], x.size // x.shape[-1], x.dtype))
            return WAYS["dequantized"](x, weight, bits)

        conditioning = condition(ready.network, plan)
        monkeypatch.setattr("flux2.quantization.linear.multiply", watch)
        next(denoise(ready.network, pack(mx.array(torch_noise(0, (1, 128, 16, 8)))), plan, conditioning))
    assert used == set(asked)
