"""Weights get where they belong, strictly, one at a time; quantizing them costs hardly more than the result."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mlx.utils import tree_flatten

from flux2.architecture.published import ARCHITECTURES
from flux2.backend.mlx import mx, nn
from flux2.bench.synthetic import write_synthetic
from flux2.checkpoint.layout import Component, open_checkpoint
from flux2.checkpoint.loading import load_weights, plan_weights
from flux2.checkpoint.networks import TRANSFORMER, NetworkSource
from flux2.checkpoint.safetensors_file import read_header
from flux2.errors import CheckpointError
from flux2.planning.planner import plan
from flux2.planning.run_facts import RunFacts
from flux2.quantization.linear import MODES, Quantization, QuantizedLinear
from flux2.store.configs import find_networks
from tests.unit.checkpoints import parameter_shapes, sparse_safetensors

MIB = 2**20
INT4, QINT8 = MODES["int4"], MODES["qint8"]


class Network(nn.Module):
    """Some of everything: Linears in a list and alone, a norm, a table, a convolution's weight."""

    def __init__(self, width: int = 128, layers: int = 3) -> None:
        super().__init__()
        self.table = nn.Embedding(10, width)
        self.blocks = [nn.Linear(width, 2 * width, bias=False) for _ in range(layers)]
        self.out = nn.Linear(width, width)
        self.norm = nn.RMSNorm(width)
        self.kernel = mx.zeros((4, 4, 3, 3))


@pytest.fixture(autouse=True)
def clean_counters() -> Iterator[None]:
    mx.clear_cache()
    yield
    mx.clear_cache()


def component(folder: Path, tensors: dict[str, mx.array]) -> Component:
    folder.mkdir(exist_ok=True)
    mx.save_safetensors(str(folder / "model.safetensors"), tensors)
    return Component(folder, {}, "Network", read_header(folder / "model.safetensors"))


def random_weights(network: nn.Module) -> dict[str, mx.array]:
    return {
        name: mx.random.normal(shape, key=mx.random.key(number)).astype(mx.bfloat16)
        for number, (name, shape) in enumerate(parameter_shapes(network).items())
    }


def test_every_tensor_becomes_the_parameter_of_its_name(tmp_path: Path) -> None:
    weights = random_weights(Network())
    network = Network()
    load_weights(network, plan_weights(network, component(tmp_path, weights)), dtype=mx.bfloat16)
    loaded = dict(tree_flatten(network.parameters()))
    assert loaded.keys() == weights.keys()
    for name, expected in weights.items():
        assert loaded[name].dtype == mx.bfloat16
        assert mx.array_equal(loaded[name], expected), name


def test_widening_keeps_matrices_narrow_and_changes_no_number(tmp_path: Path) -> None:
    weights = random_weights(Network())
    network = Network()
    load_weights(network, plan_weights(network, component(tmp_path, weights)), dtype=mx.float32)
    loaded = dict(tree_flatten(network.parameters()))
    assert {name for name, array in loaded.items() if array.dtype == mx.bfloat16} == {
        name for name, array in weights.items() if array.ndim == 2
    }
    x = mx.random.normal((5, 128))
    expected = x @ weights["blocks.1.weight"].astype(mx.float32).T
    assert network.blocks[1](x).dtype == mx.float32
    assert mx.array_equal(network.blocks[1](x), expected)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"norm.weight": None}, r"lacks tensor norm\.weight; download it again"),
        ({"norm.weight": None, "out.bias": None}, "lacks tensor .* and 1 more tensors"),
        ({"norm.weight": (129,)}, r"norm\.weight has the shape \[129\] where .* implies \[128\]"),
        ({"kernel": (3, 3, 4, 4)}, r"kernel has the shape \[3, 3, 4, 4\]"),
        ({"blocks.0.weight": (128, 256)}, r"blocks\.0\.weight has the shape"),
        ({"lora.weight": (4,)}, r"holds tensor lora\.weight, which Network does not have"),
    ],
)
def test_refuses_what_does_not_fit_before_spending_memory(
    tmp_path: Path, change: dict[str, tuple[int, ...] | None], sentence: str
) -> None:
    weights = random_weights(Network())
    for name, shape in change.items():
        if shape is None:
            del weights[name]
        else:
            weights[name] = mx.zeros(shape, dtype=mx.bfloat16)
    found = component(tmp_path, weights)
    del weights
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    with pytest.raises(CheckpointError, match=sentence):
        plan_weights(Network(), found)
    assert mx.get_peak_memory() - before < 4096  # the scalars that parameters begin as, no array


def test_refuses_integers_in_place_of_weights(tmp_path: Path) -> None:
    weights = random_weights(Network()) | {"norm.weight": mx.zeros((128,), dtype=mx.int32)}
    with pytest.raises(CheckpointError, match=r"norm\.weight is I32; use a bfloat16"):
        plan_weights(Network(), component(tmp_path, weights))


def test_tolerates_only_what_is_known_to_be_unused(tmp_path: Path) -> None:
    weights = random_weights(Network()) | {"lm_head.weight": mx.zeros((4, 4)), "lm_head.weights": mx.zeros((4, 4))}
    with pytest.raises(CheckpointError, match=r"holds tensor lm_head\.weights, which"):
        plan_weights(Network(), component(tmp_path, weights), unused=r"lm_head\.weight")


@pytest.mark.parametrize("mode", [INT4, QINT8])
def test_linears_without_a_bias_are_quantized_and_nothing_else(tmp_path: Path, mode: Quantization) -> None:
    weights = random_weights(Network())
    network = Network()
    load_weights(network, plan_weights(network, component(tmp_path, weights)), dtype=mx.float32, quantization=mode)
    assert [type(block) for block in network.blocks] == [QuantizedLinear] * 3
    assert isinstance(network.out, nn.Linear)
    block = network.blocks[2]
    assert block.scales.dtype == mx.bfloat16
    stored = sum(array.nbytes for _, array in tree_flatten(block.parameters()))
    assert stored == weights["blocks.2.weight"].size * (mode.bits + 0.5) / 8

    x = mx.random.normal((7, 128))
    restored = mx.dequantize(
        block.weight, block.scales.astype(mx.float32), block.biases.astype(mx.float32), mode.group_size, mode.bits
    )
    assert mx.allclose(block(x), x @ restored.T, rtol=1e-5, atol=1e-5)
    spread = (weights["blocks.2.weight"].max() - weights["blocks.2.weight"].min()).item()
    error = mx.abs(restored - weights["blocks.2.weight"].astype(mx.float32)).max().item()
    assert 0 < error < spread / 2**mode.bits


def test_float32_checkpoints_quantize_to_the_same_size(tmp_path: Path) -> None:
    weights = {name: array.astype(mx.float32) for name, array in random_weights(Network()).items()}
    network = Network()
    load_weights(network, plan_weights(network, component(tmp_path, weights)), dtype=mx.float32, quantization=INT4)
    assert network.blocks[0].scales.dtype == mx.bfloat16


def test_refuses_widths_that_do_not_divide_into_groups(tmp_path: Path) -> None:
    network = Network(width=96)
    plan = plan_weights(network, component(tmp_path, random_weights(network)))
    assert INT4
    with pytest.raises(CheckpointError, match=r"blocks\.\d\.weight has 96 inputs, not a multiple of 64.*choose bf16"):
        plan.check_quantization(INT4)


def test_progress_counts_every_byte_and_may_stop_the_loading(tmp_path: Path) -> None:
    network = Network()
    plan = plan_weights(network, component(tmp_path, random_weights(network)))
    told: list[int] = []
    load_weights(network, plan, dtype=mx.bfloat16, on_bytes=told.append)
    assert sum(told) == plan.nbytes

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_weights(Network(), plan, dtype=mx.bfloat16, on_bytes=stop)


class PeakWatcher:
    """Checks at every tensor that no more was ever held than what is now, one tensor more, and a slack."""

    def __init__(self, largest: int, slack: int) -> None:
        self.allowed = largest + slack
        self.baseline = mx.get_active_memory()
        mx.reset_peak_memory()
        self.excess = 0

    def __call__(self, _: int) -> None:
        # When a tensor was read, active is what is finished, the tensor itself and the next one.
        over = mx.get_peak_memory() - (mx.get_active_memory() + self.allowed)
        self.excess = max(self.excess, over)

    @property
    def peak(self) -> int:
        return int(mx.get_peak_memory()) - self.baseline


def wide_network() -> Network:
    return Network(width=2048, layers=8)  # eight Linears of 16 MiB


def wide_component(folder: Path) -> Component:
    path = folder / "model.safetensors"
    sparse_safetensors(path, parameter_shapes(wide_network()))
    return Component(folder, {}, "Network", read_header(path))


def test_peak_is_what_is_finished_one_tensor_and_the_next(tmp_path: Path) -> None:
    network = wide_network()
    plan = plan_weights(network, wide_component(tmp_path))
    watcher = PeakWatcher(largest=16 * MIB, slack=5 * MIB)  # a Linear as it is kept takes 4.5
    load_weights(network, plan, dtype=mx.bfloat16, quantization=INT4, on_bytes=watcher)
    finished = mx.get_active_memory() - watcher.baseline
    assert watcher.excess == 0
    assert watcher.peak <= finished + 20 * MIB  # the last Linears: one as read and as kept, and the next one as read


def test_the_watcher_catches_a_loader_that_reads_first_and_quantizes_then(tmp_path: Path) -> None:
    watcher = PeakWatcher(largest=16 * MIB, slack=MIB)
    found = wide_component(tmp_path)
    weights = mx.load(str(found.files[0]))
    mx.eval(weights)
    assert INT4
    linears = [QuantizedLinear(weights[f"blocks.{number}.weight"], INT4) for number in range(8)]
    mx.eval([linear.parameters() for linear in linears])
    del weights
    watcher(0)
    assert watcher.excess > 0


@pytest.mark.parametrize(("level", "most"), [("int4", 46), ("qint8", 43)])
def test_klein_4b_quantizes_within_its_final_size_and_a_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, most: float
) -> None:
    """Peaks at the real size, MiB above the final one, from a sparse file; of blocks that are all alike a few do."""
    klein = ARCHITECTURES["klein-4b"]
    few = {**klein.transformer, "num_layers": 1, "num_single_layers": 3}
    monkeypatch.setitem(ARCHITECTURES, "klein-4b", replace(klein, transformer=few))
    folder = write_synthetic("klein-4b", tmp_path / "klein")
    source = NetworkSource.check(open_checkpoint(folder), TRANSFORMER)
    largest = max(info.nbytes for info in source.plan.tensors)
    watcher = PeakWatcher(largest, slack=64 * MIB)
    transformer = source.load(mx.bfloat16, MODES[level], watcher)
    resident = mx.get_active_memory() - watcher.baseline
    print(f"klein-4b {level}: active {resident / MIB:.1f} MiB, quantization peak {watcher.peak / MIB:.1f} MiB")
    assert watcher.excess == 0
    assert resident == pytest.approx(plan(find_networks(str(folder)), RunFacts(quantization=level)).weights, rel=1e-4)
    assert watcher.peak <= resident + most * MIB
    assert not re.search(r"\bLinear\(", str(transformer.single_transformer_blocks[0]))
