"""The table of levels: what it says of every network, and that menus, options, plans and files follow from it."""

from __future__ import annotations

import math

import pytest
from mlx.utils import tree_flatten

from flux2.architecture.catalog import MODELS
from flux2.architecture.levels import LEVELS, Level, stored_bytes
from flux2.architecture.limits import GROUP
from flux2.architecture.transformer import transformer_shapes
from flux2.backend.mlx import mx
from flux2.checkpoint.layout import open_checkpoint
from flux2.checkpoint.networks import TRANSFORMER, NetworkSource
from flux2.inputs.checks import AUTO
from flux2.paths import pocket_checkpoint
from flux2.planning.planner import plan
from flux2.planning.run_facts import RunFacts
from flux2.quantization.linear import MODES, QuantizedLinear
from flux2.store.configs import find_networks
from tui.screens.menus import _LEVEL_LETTERS
from tui.state.choices import QUANTIZATION_LINES

MIXED = [level for level in LEVELS.values() if level.finer]


def bits_per_weight(model: str, level: str) -> float:
    shapes = transformer_shapes(find_networks(model).transformer)
    matrices = {name: math.prod(shape) for name, shape in shapes.items() if len(shape) == 2}
    stored = sum(stored_bytes(numbers, LEVELS[level].bits_of(name) or 16) for name, numbers in matrices.items())
    return 8 * stored / sum(matrices.values())


@pytest.mark.parametrize("model", MODELS)
def test_a_mixed_level_takes_at_most_a_quarter_of_a_bit_more(model: str) -> None:
    for level in MIXED:
        assert level.bits
        plain = level.bits + 32 / GROUP
        assert plain < bits_per_weight(model, level.name) <= plain + 0.25


@pytest.mark.parametrize("level", MIXED, ids=lambda level: level.name)
def test_every_pattern_names_a_layer_of_every_network(level: Level) -> None:
    for model in MODELS:
        names = list(transformer_shapes(find_networks(model).transformer))
        for bits, patterns in level.finer:
            for pattern in patterns:
                alone = Level("alone", "x", "", 4, finer=((bits, (pattern,)),))
                assert any(alone.bits_of(name) == bits for name in names), (model, pattern)


@pytest.mark.parametrize("name", [level.name for level in MIXED])
def test_each_layer_has_its_own_bits_and_the_plan_has_their_bytes(name: str) -> None:
    source = NetworkSource.check(open_checkpoint(pocket_checkpoint()), TRANSFORMER)
    network = source.load(mx.float32, MODES[name])
    linears = {path: module for path, module in network.named_modules() if isinstance(module, QuantizedLinear)}
    found = {path: linear.bits for path, linear in linears.items()}
    assert found == {path: LEVELS[name].bits_of(path) for path in linears}
    assert set(found.values()) == {LEVELS[name].bits, *(bits for bits, _ in LEVELS[name].finer)}
    planned = plan(find_networks("pocket"), RunFacts(quantization=name, dtype="float32", device="cpu")).weights
    assert planned == sum(array.nbytes for _, array in tree_flatten(network.parameters()))


def test_every_level_is_in_every_menu_under_a_key_of_its_own() -> None:
    assert list(QUANTIZATION_LINES) == [*LEVELS, AUTO] == list(_LEVEL_LETTERS)
    assert len(set(_LEVEL_LETTERS.values())) == len(_LEVEL_LETTERS)
    assert all(name.replace("-", "").isalnum() and name == name.lower() for name in LEVELS)  # in file names and TOML
