"""Pictures to clean latents: from memory, from the disk, or, where nobody knows them yet, from the autoencoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from flux2.backend.mlx import mx, on_cpu
from flux2.checkpoint.array_cache import ArrayCache, digest_of, fingerprint
from flux2.checkpoint.layout import Checkpoint
from flux2.checkpoint.networks import VAE_ENCODER, NetworkSource
from flux2.errors import NumericalError
from flux2.models.evaluation import evaluating
from flux2.paths import cache_dir
from flux2.pictures.as_seen import Pixels
from flux2.references.encoding import EncodedPicture, encode_picture
from flux2.reporting import RunReport

FORMAT = 1
"""Counted up when the same picture would give other latents, or they are stored in another way."""
MAX_BYTES = 256 * 1024**2
"""Bytes of all entries on the disk together: 128 pictures of 1024×1024."""
_LATENTS = "latents"


class Encodable(NamedTuple):
    """A picture that may have to be encoded."""

    key: str
    """All that its pixels depend on: a digest of the picture, and what was made of it."""
    grid: tuple[int, int]
    """Rows and columns, in tokens."""
    pixels: Callable[[], Pixels]
    """Makes them; asked only where the latents are not known."""


@dataclass(slots=True)
class PictureEncoder:
    """Pictures → `EncodedPicture`, one at a time; the autoencoder's encoder is there only meanwhile."""

    checkpoint: Checkpoint
    dtype: mx.Dtype
    """What is computed in."""
    _kept: dict[str, mx.array] = field(default_factory=dict)
    """Latents of the last call's pictures, by key."""

    def knows(self, pictures: Sequence[Encodable]) -> bool:
        """Whether all of them can be had without the autoencoder."""
        self._recall(pictures)
        return all(picture.key in self._kept for picture in pictures)

    def encode(self, pictures: Sequence[Encodable], report: RunReport) -> list[EncodedPicture]:
        """The latents of each picture; the phase "references" if any of them is new.

        Raises:
            Flux2Error: if a picture can't be read.
            CheckpointError: if the autoencoder can't be read.
            NumericalError: if latents hold NaN or infinity.
            GenerationCancelled: between two stages.
        """
        self._recall(pictures)
        new = {picture.key: picture for picture in pictures if picture.key not in self._kept}
        if new:
            with report.phase("references"):
                self._encode(list(new.values()), report)
        return [EncodedPicture(self._kept[picture.key], picture.grid) for picture in pictures]

    def forget(self) -> None:
        """Let go of what is kept in memory."""
        self._kept = {}

    def _recall(self, pictures: Sequence[Encodable]) -> None:
        """Keep in memory these pictures' latents and no others, as far as memory or disk have them."""
        if not pictures:
            self._kept = {}
            return
        cache = self._cache()
        found = {}
        for picture in pictures:
            latents = self._kept.get(picture.key)
            if latents is None and cache:
                latents = (cache.find(self._name(picture)) or {}).get(_LATENTS)
            if latents is not None:
                found[picture.key] = latents
        self._kept = found

    def _encode(self, pictures: list[Encodable], report: RunReport) -> None:
        vae = NetworkSource.check(self.checkpoint, VAE_ENCODER).load(
            self.dtype, on_bytes=lambda _: report.check_cancelled()
        )
        stages = len(vae.encode_stages()) * len(pictures)
        after_stage = evaluating(report.progress("references", stages, "stages"))
        cache = self._cache()
        for picture in pictures:
            latents = encode_picture(vae, picture.pixels(), after_stage)
            if not mx.isfinite(latents).all().item():
                name = str(self.dtype).rpartition(".")[2]
                raise NumericalError(
                    f"The latents of a picture hold NaN or infinity (computed in {name}); choose another dtype."
                )
            self._kept[picture.key] = latents
            if cache:
                cache.keep(self._name(picture), {_LATENTS: latents})

    def _name(self, picture: Encodable) -> str:
        """The key of a picture's entry on the disk."""
        vae = self.checkpoint.vae
        return digest_of(fingerprint(vae.files, FORMAT, vae.config, str(self.dtype), on_cpu()), picture.key)

    def _cache(self) -> ArrayCache | None:
        """The disk's, for these files as they are now; None where they are gone."""
        if all(path.exists() for path in self.checkpoint.vae.files):
            return ArrayCache(cache_dir() / "pictures", MAX_BYTES)
        return None
