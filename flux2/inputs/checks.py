"""Values of a request: the bounds that each must keep, what is wrong with one, and how some are read and told."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from flux2.architecture.catalog import find_card
from flux2.architecture.levels import LEVELS
from flux2.architecture.limits import MAX_TEXT_TOKENS, TOKEN_PIXELS
from flux2.architecture.reference_sizes import complaint as size_complaint
from flux2.errors import RequestError
from flux2.inputs.attachment import Attachment, check_attachment

QUANTIZATIONS = tuple(LEVELS)
RESIDENCIES = ("resident", "streamed")
"""Places of the transformer: in memory as a whole, or its blocks read in every step while the one before computes."""
AUTO = "auto"
"""Word for the best quantization or residency that fits this machine (`flux2.planning.planner`)."""
NOISES = ("torch", "mlx")
"""Generators of a seed's noise: PyTorch's on the CPU, which diffusers and ComfyUI use, and MLX's."""
SIZE_MULTIPLE = TOKEN_PIXELS
MIN_SIZE, MAX_SIZE = 64, 4096  # pixels per side
MAX_STEPS = 1000  # the scheduler's num_train_timesteps
MAX_SEED = 2**32 - 1
MAX_REFERENCES = 10
MAX_PROMPT = 10_000  # characters; the models read 512 tokens, some 2,200 characters of English


def unknown_quantization(name: str) -> str:
    """The sentence for a level that there is not."""
    return f"Quantization {name!r} is unknown; choose one of {', '.join(QUANTIZATIONS)}."


def check_text(_: str, text: str) -> str | None:
    if len(text) > MAX_PROMPT:
        return (
            f"The prompt has {len(text):,} characters; {MAX_PROMPT:,} are the most, and of these {MAX_TEXT_TOKENS} "
            "tokens are read."
        )
    if re.search("[\ud800-\udfff]", text):
        return "The prompt holds bytes that are no UTF-8; set the terminal's locale to UTF-8, such as LC_ALL=C.UTF-8."
    return None


def check_prompt(name: str, prompt: str) -> str | None:
    return check_text(name, prompt) if prompt.strip() else "The prompt is empty; say what the picture should show."


def check_quantization(_: str, name: str) -> str | None:
    return None if name in (*QUANTIZATIONS, AUTO) else unknown_quantization(name)


def check_residency(_: str, name: str) -> str | None:
    if name in (*RESIDENCIES, AUTO):
        return None
    return f"Residency {name!r} is unknown; choose one of {', '.join((*RESIDENCIES, AUTO))}."


def check_side(name: str, side: int) -> str | None:
    if not MIN_SIZE <= side <= MAX_SIZE:
        return f"The {name} {side} is out of range; choose {MIN_SIZE} to {MAX_SIZE} pixels."
    if side % SIZE_MULTIPLE:
        lower = max(MIN_SIZE, side // SIZE_MULTIPLE * SIZE_MULTIPLE)
        return f"The {name} {side} is not a multiple of {SIZE_MULTIPLE}; choose {lower} or {lower + SIZE_MULTIPLE}."
    return None


def check_steps(_: str, steps: int) -> str | None:
    return None if 1 <= steps <= MAX_STEPS else f"{steps} steps are out of range; choose 1 to {MAX_STEPS}."


def check_guidance(_: str, guidance: float) -> str | None:
    return None if 0.0 <= guidance <= 100.0 else f"Guidance {guidance} is out of range; choose 0 to 100."


def check_seed(_: str, seed: int) -> str | None:
    return None if 0 <= seed <= MAX_SEED else f"Seed {seed} is out of range; choose 0 to {MAX_SEED}."


def check_noise(_: str, noise: str) -> str | None:
    return None if noise in NOISES else f"Noise {noise!r} is unknown; choose one of {', '.join(NOISES)}."


def check_share(name: str, share: float) -> str | None:
    return None if 0.0 <= share <= 1.0 else f"The {name.replace('_', ' ')} {share} is out of range; choose 0 to 1."


def check_length(name: str, length: int) -> str | None:
    return (
        None if 1 <= length <= MAX_TEXT_TOKENS else f"{name} {length} is out of range; choose 1 to {MAX_TEXT_TOKENS}."
    )


def read_sigmas(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise RequestError(f"The sigmas {text!r:.60} are no numbers; give some such as 1,0.75,0.5,0.25.") from None


def check_sigmas(_: str, sigmas: tuple[float, ...]) -> str | None:
    falls = all(before > after for before, after in pairwise(sigmas))
    if 1 <= len(sigmas) <= MAX_STEPS and falls and sigmas[-1] > 0 and sigmas[0] <= 1:
        return None
    return "The sigmas have to fall, from 1 at most to above 0, such as 1,0.75,0.5,0.25."


def check_pictures(name: str, pictures: tuple[Attachment, ...] | Attachment) -> str | None:
    if isinstance(pictures, Attachment):
        return check_attachment(name, pictures)
    if len(pictures) > MAX_REFERENCES:
        return f"There are {len(pictures)} {name}; {MAX_REFERENCES} are the most."
    return next((complaint for each in pictures if (complaint := check_attachment(name, each))), None)


def check_references(name: str, pictures: tuple[Attachment, ...]) -> str | None:
    if complaint := check_pictures(name, pictures):
        return complaint
    numbered = ((f"{number} ({each})" if each.name else f"{number}", each) for number, each in enumerate(pictures, 1))
    return next(
        (wrong for called, each in numbered if (wrong := size_complaint(called, each.width, each.height))), None
    )


def check_strength(_: str, strength: float) -> str | None:
    return None if 0.0 < strength <= 1.0 else f"Strength {strength} is out of range; choose above 0, and up to 1."


def check_outpaint(_: str, sides: tuple[int, ...]) -> str | None:
    if len(sides) == 4 and all(0 <= side <= MAX_SIZE for side in sides) and any(sides):
        return None
    return (
        f"Outpainting by {','.join(map(str, sides))} makes no sense; give the pixels to add at top, right, bottom and "
        f"left, such as 0,128,0,128."
    )


def read_outpaint(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(side) for side in text.split(","))
    except ValueError:
        raise RequestError(
            f"The margins {text!r:.40} are no numbers; give pixels at top, right, bottom and left, such as 0,128,0,128."
        ) from None


def check_area(_: str, pixels: int) -> str | None:
    if MIN_SIZE**2 <= pixels <= MAX_SIZE**2:
        return None
    return f"{pixels} pixels for a reference are out of range; choose {MIN_SIZE**2} to {MAX_SIZE**2}."


def digests(pictures: tuple[Attachment, ...] | Attachment | None) -> Any:
    """What decides of pictures: what they hold, in their order."""
    if isinstance(pictures, tuple):
        return tuple(each.digest for each in pictures)
    return pictures and pictures.digest


def names(items: tuple[Any, ...]) -> str:
    return ", ".join(map(str, items))


def catalog_name(model: str) -> str:
    card = find_card(model)
    return card.name if card else model
