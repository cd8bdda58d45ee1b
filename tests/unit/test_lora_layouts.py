"""One set of changes in every layout: each gives what the weights give with the changes added to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flux2.architecture.transformer import transformer_shapes
from flux2.backend.mlx import mx
from flux2.checkpoint.layout import open_checkpoint
from flux2.checkpoint.loading import set_at
from flux2.checkpoint.networks import TRANSFORMER, NetworkSource
from flux2.lora.branches import Branches, applied, find_at
from flux2.lora.fit import fit
from flux2.lora.loading import load_branches
from flux2.lora.lora_file import read_lora_file
from flux2.models.rope import image_positions, text_positions
from flux2.models.transformer import Flux2Transformer2DModel
from tests.unit.lora_files import (
    LAYOUTS,
    Arrays,
    Changes,
    LoraContent,
    as_bfl,
    save_lora,
    some_changes,
    split_by_bfl,
    written_out,
)

CHECKPOINT = Path(__file__).parents[1] / "parity" / "recordings" / "dev" / "checkpoint"
SOURCE = NetworkSource.check(open_checkpoint(CHECKPOINT), TRANSFORMER)
CONFIG = SOURCE.config
SHAPES = transformer_shapes(CONFIG)
PATHS = [name.removesuffix(".weight") for name, shape in SHAPES.items() if len(shape) == 2]
LIMIT = 5e-5


@pytest.fixture(scope="module")
def network() -> Flux2Transformer2DModel:
    found: Flux2Transformer2DModel = SOURCE.load(mx.float32)
    return found


@pytest.fixture(scope="module")
def changes() -> Changes:
    return some_changes(SHAPES)


def velocity(network: Flux2Transformer2DModel) -> np.ndarray:
    """What the network, its conditioning included, makes of some latents."""
    random = np.random.default_rng(3)
    prompt = mx.array(random.standard_normal((1, 8, CONFIG.joint_attention_dim), dtype=np.float32))
    latents = mx.array(random.standard_normal((1, 16, CONFIG.in_channels), dtype=np.float32))
    conditioning = network.condition([prompt], [0.7], text_positions(8), image_positions(4, 4), 4.0)
    return np.array(network(latents, conditioning, 0)[0])


@contextmanager
def merged(network: Flux2Transformer2DModel, *changes: tuple[float, Arrays]) -> Iterator[None]:
    """Within it the changes are added to the weights."""
    touched = {path for _, some in changes for path in some}
    before = {path: find_at(network, path).weight for path in touched}
    for scale, some in changes:
        for path, change in some.items():
            set_at(network, f"{path}.weight", find_at(network, path).weight + mx.array(change) * scale)
    yield
    for path, weight in before.items():
        set_at(network, f"{path}.weight", weight)


def branches(path: Path, scale: float = 1.0) -> Branches:
    found = load_branches(fit(read_lora_file(path), CONFIG), mx.float32)
    return {path: [(scale, branch)] for path, branch in found.items()}


def check(network: Flux2Transformer2DModel, added: Branches, *truth: tuple[float, Arrays]) -> None:
    plain = velocity(network)
    with applied(network, added):
        ours = velocity(network)
    with merged(network, *truth):
        wanted = velocity(network)
    assert np.abs(wanted - plain).max() > 100 * LIMIT
    assert np.abs(ours - wanted).max() <= LIMIT
    assert (velocity(network) == plain).all()  # nothing is left behind


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_changes_what_it_says(
    layout: str, network: Flux2Transformer2DModel, changes: Changes, tmp_path: Path
) -> None:
    path = save_lora(tmp_path / "adapter_model.safetensors", LAYOUTS[layout](changes))
    assert len(branches(path)) == len(PATHS)
    check(network, branches(path), (1.0, written_out(changes)))


@pytest.mark.parametrize("scale", [0.5, -1.0])
def test_scales(scale: float, network: Flux2Transformer2DModel, changes: Changes, tmp_path: Path) -> None:
    path = save_lora(tmp_path / "a.safetensors", LAYOUTS["kohya"](changes))
    check(network, branches(path, scale), (scale, written_out(changes)))


def test_two_at_once_add_up(network: Flux2Transformer2DModel, changes: Changes, tmp_path: Path) -> None:
    other = {
        path: (b.T[:, :1] * np.ones((1, SHAPES[f"{path}.weight"][1]), np.float32) * 0.1, b)
        for path, (_, b) in changes.items()
        if ".ff." in path
    }
    one = save_lora(tmp_path / "a.safetensors", LAYOUTS["diffusers"](changes))
    two = save_lora(tmp_path / "b.safetensors", LAYOUTS["diffusers"](other))
    first, second = branches(one, 0.7), branches(two, 0.4)
    both = {path: [*first.get(path, ()), *second.get(path, ())] for path in first}
    check(network, both, (0.7, written_out(changes)), (0.4, written_out(other)))


def stored_as_float8(array: np.ndarray) -> np.ndarray:
    return np.array(mx.to_fp8(mx.array(array)))


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F8_E4M3", "F8_E5M2"])
def test_narrow_numbers_are_those_of_the_file(
    dtype: str, network: Flux2Transformer2DModel, changes: Changes, tmp_path: Path
) -> None:
    """The truth is made of the numbers as they were rounded for the file."""
    rounded: dict[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
        "F16": lambda x: (x.astype(np.float16), x.astype(np.float16).astype(np.float32)),
        "BF16": lambda x: (
            (bits := (x.view(np.uint32) >> 16).astype(np.uint16)),
            (bits.astype(np.uint32) << 16).view(np.float32),
        ),
        "F8_E4M3": lambda x: ((codes := stored_as_float8(x)), np.array(mx.from_fp8(mx.array(codes), mx.float32))),
        "F8_E5M2": lambda x: (
            (codes := (x.astype(np.float16).view(np.uint16) >> 8).astype(np.uint8)),
            (codes.astype(np.uint16) << 8).view(np.float16).astype(np.float32),
        ),
    }
    tensors = LAYOUTS["ai-toolkit"](changes).tensors
    raw, read = {}, {}
    for name, array in tensors.items():
        raw[name], read[name] = rounded[dtype](np.ascontiguousarray(array))
    path = save_lora(tmp_path / "a.safetensors", LoraContent(raw))
    rename_types(path, dtype)
    suffixes = (".lora_A.weight", ".lora_B.weight")
    modules = {name.removesuffix(suffixes[0]) for name in read if name.endswith(suffixes[0])}
    products = {m.removeprefix("diffusion_model."): read[m + suffixes[1]] @ read[m + suffixes[0]] for m in modules}
    check(network, branches(path), (1.0, split_by_bfl(products, PATHS)))


def rename_types(path: Path, dtype: str) -> None:
    """Say in the header that its numbers are of a type that NumPy does not have."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for entry in header.values():
        entry["dtype"] = dtype
    raw = json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + content[8 + length :])


def kronecker(name: str, shape: tuple[int, int], form: str) -> tuple[Arrays, np.ndarray]:
    """Factors of one module in a LoKr's form, and what they are when written out."""
    random = np.random.default_rng(len(name))
    a, b, rank = 4, 4, 2
    w1 = random.standard_normal((a, b), dtype=np.float32) * 0.3
    c, d = shape[0] // a, shape[1] // b
    w2 = random.standard_normal((c, d), dtype=np.float32) * 0.3
    left, right = (random.standard_normal(size, dtype=np.float32) * 0.3 for size in ((c, rank), (rank, d)))
    inner, outer = (random.standard_normal(size, dtype=np.float32) * 0.3 for size in ((a, rank), (rank, b)))
    if form == "whole":  # such files have an alpha that means nothing
        return {"lokr_w1": w1, "lokr_w2": w2, "alpha": np.array(np.float32(9999))}, np.kron(w1, w2)
    found = {"lokr_w2_a": left, "lokr_w2_b": right, "alpha": np.array(np.float32(1))}
    if form == "second factored":
        return found | {"lokr_w1": w1}, np.kron(w1, left @ right) / rank
    return found | {"lokr_w1_a": inner, "lokr_w1_b": outer}, np.kron(inner @ outer, left @ right) / rank


def hadamard(name: str, shape: tuple[int, int], form: str) -> tuple[Arrays, np.ndarray]:
    random = np.random.default_rng(len(name))
    rank = {"of low rank": 2, "of high rank": 12}[form]
    sizes = {"hada_w1_a": (shape[0], rank), "hada_w1_b": (rank, shape[1])}
    sizes |= {"hada_w2_a": (shape[0], rank), "hada_w2_b": (rank, shape[1])}
    found = {role: random.standard_normal(size, dtype=np.float32) * 0.2 for role, size in sizes.items()}
    product = (found["hada_w1_a"] @ found["hada_w1_b"]) * (found["hada_w2_a"] @ found["hada_w2_b"])
    return found | {"alpha": np.array(np.float32(1))}, product / rank


@pytest.mark.parametrize("spelling", ["BFL", "diffusers"])
@pytest.mark.parametrize(
    ("make", "form"),
    [
        (kronecker, "whole"),
        (kronecker, "second factored"),
        (kronecker, "both factored"),
        (hadamard, "of low rank"),
        (hadamard, "of high rank"),
    ],
)
def test_products_of_other_kinds(
    make: Callable[..., Any],
    form: str,
    spelling: str,
    network: Flux2Transformer2DModel,
    changes: Changes,
    tmp_path: Path,
) -> None:
    modules = as_bfl(changes) if spelling == "BFL" else changes
    tensors, products = {}, {}
    for name, (a, b) in modules.items():
        factors, products[name] = make(name, (len(b), a.shape[1]), form)
        full = f"diffusion_model.{name}" if spelling == "BFL" else f"lycoris_{name.replace('.', '_')}"
        tensors |= {f"{full}.{role}": factor for role, factor in factors.items()}
    path = save_lora(tmp_path / "a.safetensors", LoraContent(tensors))
    truth = split_by_bfl(products, PATHS) if spelling == "BFL" else products
    check(network, branches(path), (1.0, truth))
