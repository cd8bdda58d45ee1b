"""The phase "decode": clean latents become pixels."""

from __future__ import annotations

import numpy as np
from PIL import Image

from flux2.backend.mlx import mx
from flux2.checkpoint.networks import NetworkSource
from flux2.errors import NumericalError
from flux2.models.evaluation import evaluating
from flux2.reporting import RunReport


def decode(latents: mx.array, source: NetworkSource, dtype: mx.Dtype, report: RunReport) -> Image.Image:
    """The picture of clean latents [1, H/16, W/16, channels], H and W in pixels.

    Args:
        source: of the autoencoder's decoder, which is loaded here and let go of layer by layer.
        dtype: what to compute in.

    Raises:
        CheckpointError: if a file can't be read to its end.
        NumericalError: if the picture holds NaN or infinity.
        GenerationCancelled: if the run was cancelled.
    """
    with report.phase("decode"):
        vae = source.load(dtype, on_bytes=lambda _: report.check_cancelled())
        stages = report.progress("decode", len(vae.decode_stages()), "stages")
        picture = vae.decode(latents, evaluating(stages), keep_weights=False)
        if not mx.isfinite(picture).all().item():
            name = str(dtype).rpartition(".")[2]
            raise NumericalError(
                f"The decoded picture holds NaN or infinity (computed in {name}); choose another dtype."
            )
        pixels = mx.round(mx.clip((picture[0].astype(mx.float32) + 1) * 127.5, 0, 255)).astype(mx.uint8)
        image = Image.fromarray(np.array(pixels))
        del vae, picture, pixels
    return image
