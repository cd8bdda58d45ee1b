"""The noise of a seed: what denoising begins with.

PyTorch's generator on the CPU is the one that programs share: diffusers' pipelines draw from it where they are given
`torch.Generator("cpu")`, and ComfyUI does always. So a seed draws here what it draws there.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from flux2.architecture.limits import TOKEN_PIXELS
from flux2.backend.mlx import mx
from flux2.request import GenerationRequest

Array = npt.NDArray[np.float32]

_BLOCK = 16
"""Numbers that PyTorch draws at a time: the first half cosines, the second sines."""
_MANTISSA = 24
"""Bits of a uniform float32 in [0, 1)."""


def noise_of(request: GenerationRequest, channels: int) -> mx.array:
    """Standard normal latents of a request's seed and variation, float32 [1, channels, height / 16, width / 16].

    Args:
        request: with its defaults filled in.
    """
    assert request.seed is not None and request.height and request.width
    shape = (1, channels, request.height // TOKEN_PIXELS, request.width // TOKEN_PIXELS)
    draw = GENERATORS[request.noise]
    noise = draw(request.seed, shape)
    if request.variation_seed is not None and request.variation_strength:
        noise = spherical(noise, draw(request.variation_seed, shape), request.variation_strength)
    return mx.array(noise)


def torch_noise(seed: int, shape: tuple[int, ...]) -> Array:
    """`torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))`, to 5e-7.

    Mersenne Twister seeded by one number, uniforms of 24 bits, Box and Muller's transform over blocks of 16 (PyTorch's
    `normal_fill` in `aten/src/ATen/native/cpu/DistributionTemplates.h`).

    Args:
        shape: of 16 numbers or more, a multiple of 16, as latents are.
    """
    count = math.prod(shape)
    assert count % _BLOCK == 0, shape
    bits = np.random.RandomState(seed).randint(0, 2**32, count, np.uint32) & np.uint32(2**_MANTISSA - 1)
    uniform = (bits.astype(np.float32) * np.float32(2**-_MANTISSA)).reshape(-1, 2, _BLOCK // 2)
    radius = np.sqrt(np.float32(-2) * np.log(np.float32(1) - uniform[:, 0]))
    angle = np.float32(2 * math.pi) * uniform[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(shape)


def mlx_noise(seed: int, shape: tuple[int, ...]) -> Array:
    """What MLX draws: the noise of pictures that earlier versions, and mflux, have made."""
    return np.array(mx.random.normal(shape, key=mx.random.key(seed)))


GENERATORS: dict[str, Callable[[int, tuple[int, ...]], Array]] = {"torch": torch_noise, "mlx": mlx_noise}
"""Generators by the values of a request's `noise`."""


def spherical(start: Array, end: Array, share: float) -> Array:
    """The noise that lies `share` of the way from `start` to `end` on the arc between them, as long as noise is.

    A straight line would pass nearer to zero, where no noise of a seed is (Shoemake, "Animating rotation with
    quaternion curves", 1985).
    """
    first, last = start.ravel().astype(np.float64), end.ravel().astype(np.float64)
    cosine = np.dot(first, last) / (np.linalg.norm(first) * np.linalg.norm(last))
    angle = math.acos(max(-1.0, min(1.0, float(cosine))))
    if math.sin(angle) < 1e-6:
        return start
    blend = (math.sin((1 - share) * angle) * first + math.sin(share * angle) * last) / math.sin(angle)
    return blend.astype(np.float32).reshape(start.shape)
