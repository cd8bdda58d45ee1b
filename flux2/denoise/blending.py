"""What is kept of a source picture while the rest of it is denoised.

Diffusers' inpainting: after every step, what is kept is put back as it would look at that step's noise level, always
with the noise that the run began with. So the model paints the rest to go with it; after the last step, where no noise
is left, it is the source's own latents.
"""

from __future__ import annotations

from dataclasses import dataclass

from flux2.backend.mlx import mx


@dataclass(frozen=True, slots=True, kw_only=True)
class Blending:
    """The source, and how free each token is to become another; arrays in float32, packed."""

    clean: mx.array
    """The source's latents, [1, tokens, channels]."""
    noise: mx.array
    """The run's first noise, [1, tokens, channels]."""
    freedom: mx.array
    """1 where a token is painted anew, 0 where it stays as it is, [1, tokens, 1]."""

    def __call__(self, latents: mx.array, sigma: float) -> mx.array:
        """The latents at this noise level with what is kept put back."""
        return self.freedom * latents + (1 - self.freedom) * noised(self.clean, self.noise, sigma)


def noised(clean: mx.array, noise: mx.array, sigma: float) -> mx.array:
    """Clean latents at a noise level: where a run at less than full strength begins."""
    return sigma * noise + (1 - sigma) * clean
