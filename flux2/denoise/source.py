"""A source picture while it is denoised: where that begins, and what of it is kept.

Diffusers' inpainting: after every step, what is kept is put back as it would look at that step's noise level, always
with the noise that the run began with. So the model paints the rest to go with it; after the last step, where no noise
is left, it is the source's own latents.
"""

from __future__ import annotations

from dataclasses import dataclass

from flux2.backend.mlx import mx
from flux2.references.encoding import EncodedPicture


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The source, and how free each token is to become another; arrays in float32, packed."""

    picture: EncodedPicture
    noise: mx.array
    """The run's first noise, [1, tokens, channels]."""
    freedom: mx.array | None = None
    """1 where a token is painted anew, 0 where it stays as it is, [1, tokens, 1]; None where all are free."""

    def noised(self, sigma: float) -> mx.array:
        """The source at a noise level: where a run at less than full strength begins."""
        return sigma * self.noise + (1 - sigma) * self.picture.latents

    def put_back(self, latents: mx.array, sigma: float) -> mx.array:
        """The latents at this noise level with what is kept put back."""
        if self.freedom is None:
            return latents
        return self.freedom * latents + (1 - self.freedom) * self.noised(sigma)
