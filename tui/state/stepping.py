"""What an arrow key does to a setting: the next or previous value that makes sense."""

from __future__ import annotations

from dataclasses import replace

from flux2.architecture.catalog import MODELS
from flux2.inputs.checks import MAX_SEED, MAX_STEPS
from tui.state.choices import Choices

_GUIDANCE_STEP = 0.5
_MAX_GUIDANCE = 100.0


def stepped(choices: Choices, setting: str, by: int, last_seed: int | None) -> Choices:
    """The choices with one setting moved by one in a direction.

    Args:
        choices: as they are.
        setting: its name in `tui.widgets.settings_pane.ROWS`.
        by: 1 or -1.
        last_seed: of the last picture, for leaving the random mode.
    """
    match setting:
        case "model":
            names = list(MODELS)
            place = names.index(choices.model) + by if choices.model in names else 0
            return choices.with_model(names[place % len(names)])
        case "quantization":
            return choices.next_quantization(by)
        case "size":
            sizes = choices.card.sizes if choices.card else ()
            if not sizes:
                return choices
            place = sizes.index(choices.size) + by if choices.size in sizes else 0
            width, height = sizes[place % len(sizes)]
            return replace(choices, width=width, height=height)
        case "steps":
            return replace(choices, steps=max(1, min(MAX_STEPS, (choices.step_count or 1) + by)))
        case "guidance":
            scale = (choices.guidance_scale or 0.0) + by * _GUIDANCE_STEP
            return replace(choices, guidance=max(0.0, min(_MAX_GUIDANCE, scale)))
        case _:
            if choices.seed_mode == "random" or choices.seed is None:
                return choices.next_seed_mode(by, last_seed)
            return replace(choices, seed=(choices.seed + by) % (MAX_SEED + 1))
