"""The comparison can fail: each of the faults that engines are known for is put in, and must be found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import engine
import pytest
from recordings import recording

from flux2.architecture.text_encoder import TEXT_ENCODERS
from flux2.backend.mlx import mx
from flux2.models import transformer, transformer_blocks
from flux2.models.rope import Positions, Rotation, axial_rotation

RUNS = ["distilled/wide", "base/guided", "odd/tall", "dev/tall"]  # of each checkpoint, the one that is not square


def found(name: str) -> set[str]:
    """What differs from the recording, by name."""
    run = recording(name)
    return set(engine.differences(run, engine.generate(run), engine.encode(run)))


@pytest.mark.parametrize("name", RUNS)
def test_a_wrong_order_of_the_rope_axes_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def height_and_width_exchanged(positions: Positions, *constants: Any) -> Rotation:
        return axial_rotation(positions[:, [0, 2, 1, 3]], *constants)

    monkeypatch.setattr(transformer, "axial_rotation", height_and_width_exchanged)
    assert {"latents after step 1", "image"} <= found(name)


@pytest.mark.parametrize("name", RUNS)
def test_exchanged_scale_and_shift_are_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    modulated_norm = transformer_blocks.modulated_norm

    def exchanged(x: mx.array, shift: mx.array, scale: mx.array, eps: float) -> mx.array:
        return modulated_norm(x, scale, shift, eps)

    monkeypatch.setattr(transformer_blocks, "modulated_norm", exchanged)
    assert {"latents after step 1", "image"} <= found(name)


@pytest.mark.parametrize("name", RUNS)
def test_padding_on_the_wrong_side_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for encoder, row in TEXT_ENCODERS.items():
        wrong = replace(row.prompt_form, padding_side={"left": "right", "right": "left"}[row.prompt_form.padding_side])
        monkeypatch.setitem(TEXT_ENCODERS, encoder, replace(row, prompt_form=wrong))
    assert {"prompt_embeds", "latents after step 1", "image"} <= found(name)
