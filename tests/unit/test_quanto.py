"""Quanto's int8 checkpoints load as what they stand for, at every level, without being expanded whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlx.utils import tree_flatten

from flux2.backend.mlx import mx, nn
from flux2.checkpoint.layout import Component, open_checkpoint
from flux2.checkpoint.loading import load_weights, plan_weights
from flux2.checkpoint.networks import TRANSFORMER, NetworkSource
from flux2.checkpoint.safetensors_file import read_header, read_tensor
from flux2.errors import CheckpointError
from flux2.paths import pocket_checkpoint
from flux2.quantization.linear import MODES
from tests.unit.checkpoints import writable_copy, write_raw

FILE = "transformer/diffusion_pytorch_model.safetensors"
WIDTH = 320  # of pocket's attention
MIB = 2**20


def as_quanto(weights: dict[str, mx.array]) -> tuple[dict[str, mx.array], dict[str, mx.array]]:
    """Every matrix in Quanto's layout, and the weights that it stands for, computed in float32."""
    stored, meant = {}, {}
    for name, weight in weights.items():
        if weight.ndim != 2:
            stored[name] = meant[name] = weight
            continue
        scale = (mx.abs(weight.astype(mx.float32)).max(axis=1, keepdims=True) / 127).astype(mx.bfloat16)
        wide = scale.astype(mx.float32)
        data = mx.round(weight.astype(mx.float32) / mx.maximum(wide, 1e-12)).astype(mx.int8)
        layer = name.removesuffix(".weight")
        stored |= {f"{name}._data": data, f"{name}._scale": scale}
        stored |= {f"{layer}.{extra}": mx.array(1.0) for extra in ("input_scale", "output_scale")}
        meant[name] = (data.astype(mx.float32) * wide).astype(mx.bfloat16)
    return stored, meant


def with_transformer(folder: Path, weights: dict[str, mx.array]) -> Path:
    """Pocket with these weights in one file."""
    writable_copy(pocket_checkpoint(), folder)
    for path in (folder / "transformer").glob("*.safetensors*"):
        path.unlink()
    mx.save_safetensors(str(folder / FILE), weights)
    return folder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Pocket in Quanto's layout, and the plain checkpoint of the same numbers."""
    folder = tmp_path_factory.mktemp("quanto")
    tensors = open_checkpoint(pocket_checkpoint()).transformer.tensors
    stored, meant = as_quanto({name: read_tensor(info) for name, info in tensors.items()})
    return with_transformer(folder / "int8", stored), with_transformer(folder / "plain", meant)


@pytest.mark.parametrize("level", MODES)
def test_loads_what_the_int8_numbers_stand_for(checkpoints: tuple[Path, Path], level: str) -> None:
    loaded = []
    for folder in checkpoints:
        source = NetworkSource.check(open_checkpoint(folder), TRANSFORMER)
        told: list[int] = []
        loaded.append(dict(tree_flatten(source.load(mx.bfloat16, MODES[level], told.append).parameters())))
        assert sum(told) == source.plan.nbytes
    assert loaded[0].keys() == loaded[1].keys()
    for name, expected in loaded[1].items():
        assert loaded[0][name].dtype == expected.dtype, name
        assert mx.array_equal(loaded[0][name], expected), name


class Wide(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = [nn.Linear(2048, 4096, bias=False) for _ in range(8)]  # 8 MiB each as int8


def test_never_holds_the_whole_model_expanded(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    header, offset = {}, 0
    for number in range(8):
        for name, dtype, shape in (("_data", "I8", (4096, 2048)), ("_scale", "BF16", (4096, 1))):
            end = offset + (8 * MIB if dtype == "I8" else 4096 * 2)
            offsets = [offset, end]
            header[f"blocks.{number}.weight.{name}"] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
            offset = end
    write_raw(path, header)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + offset)
    network = Wide()
    plan = plan_weights(network, Component(tmp_path, {}, "Wide", read_header(path)))
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    load_weights(network, plan, dtype=mx.bfloat16, quantization=MODES["int4"])
    finished = mx.get_active_memory() - before
    one_tensor = (8 + 16 + 16) * MIB  # int8, bfloat16 before and after the scale
    assert mx.get_peak_memory() - before <= finished + one_tensor < 8 * 16 * MIB


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"_scale": None}, r"weight\._data is I8 .* not an int8 matrix with a scale per row"),
        ({"_scale": mx.ones((1, 128))}, "not an int8 matrix with a scale per row"),
        ({"_data": mx.zeros((128, 8), dtype=mx.uint8)}, r"weight\._data is U8 .*use a qint8 or bfloat16 checkpoint"),
        ({"_scale": mx.ones((WIDTH, 1), dtype=mx.int32)}, r"weight\._scale is I32; use a bfloat16"),
    ],
)
def test_refuses_quantos_other_layouts(
    checkpoints: tuple[Path, Path], tmp_path: Path, change: dict[str, mx.array | None], sentence: str
) -> None:
    weights = dict(mx.load(str(checkpoints[0] / FILE)))
    name = next(name for name in weights if name.endswith("attn.to_q.weight._data")).removesuffix("._data")
    for end, value in change.items():
        weights.pop(f"{name}.{end}")
        if value is not None:
            weights[f"{name}.{end}"] = value
    with pytest.raises(CheckpointError, match=sentence):
        NetworkSource.check(open_checkpoint(with_transformer(tmp_path / "copy", weights)), TRANSFORMER)
