"""Who takes part: the work all of them do, and what each has to be able to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from flux2.architecture.limits import MAX_TEXT_TOKENS, TOKEN_PIXELS
from flux2.architecture.published import Architecture
from flux2.bench.research.peers.random_weights import normal

SIGMA = 0.7
"""The noise level of the step that is timed."""
GUIDANCE = 4.0
"""Guidance scale given to networks that have an embedding of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One step and one decode of one architecture at one size. Latents and embeddings are the same for everybody."""

    model: str
    architecture: Architecture
    divisor: int
    height: int
    """Pixels."""
    width: int
    dtype: str
    text_tokens: int = MAX_TEXT_TOKENS

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width in tokens."""
        return self.height // TOKEN_PIXELS, self.width // TOKEN_PIXELS

    @property
    def tokens(self) -> int:
        """Tokens of text and image together."""
        rows, columns = self.grid
        return self.text_tokens + rows * columns

    @property
    def guidance(self) -> float | None:
        return GUIDANCE if self.architecture.transformer["guidance_embeds"] else None

    def latents(self) -> npt.NDArray[np.float32]:
        """Packed noise, [1, image tokens, channels]."""
        rows, columns = self.grid
        return normal("latents", (1, rows * columns, self.architecture.transformer["in_channels"]))

    def embeddings(self) -> npt.NDArray[np.float32]:
        """Random embeddings of a prompt, [1, text tokens, joint_attention_dim]."""
        return normal("embeddings", (1, self.text_tokens, self.architecture.transformer["joint_attention_dim"]))


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of the table: what is timed, and how its memory is read."""

    name: str
    version: str
    run: Callable[[], Any]
    """Does the work to its end, as one's own users do it; returns the result in the maker's own array type."""
    as_numpy: Callable[[Any], npt.NDArray[np.float32]]
    meter: Meter
    notes: dict[str, Any] = field(default_factory=dict)
    """What else is worth keeping of it, ready for JSON."""


class Meter(Protocol):
    """A framework's own count of the memory its arrays take, bytes."""

    def reset(self) -> None:
        """Let the peak begin at what is held now."""

    def held(self) -> int:
        """Now."""

    def peak(self) -> int | None:
        """The most since `reset`; None where the framework does not count it."""
