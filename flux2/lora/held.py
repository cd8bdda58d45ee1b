"""The LoRAs of a pipeline: found, matched with its transformer, read when a run needs them, kept for the next one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from flux2.architecture.transformer import Flux2TransformerConfig
from flux2.backend.mlx import mx
from flux2.events import DownloadProgress
from flux2.inputs.loras import Lora
from flux2.lora.branches import Branch, Branches
from flux2.lora.finding import find_lora, with_digest
from flux2.lora.fit import FittedLora, fit
from flux2.lora.loading import load_branches
from flux2.lora.lora_file import read_lora_file
from flux2.lora.recipe import Recipe, find_recipe


@dataclass(slots=True)
class HeldLoras:
    """What a pipeline knows of the LoRAs that it was asked for."""

    config: Flux2TransformerConfig
    dtype: mx.Dtype
    model: str
    """Name of the model, for sentences."""
    _fitted: dict[str, FittedLora] = field(default_factory=dict)
    """What is known of each, by digest."""
    _recipes: dict[str, Recipe] = field(default_factory=dict)
    """What is known of each, by digest."""
    _loaded: dict[str, dict[str, Branch]] = field(default_factory=dict)
    """Branches in memory, by digest and path."""

    def find(
        self,
        loras: Sequence[Lora],
        say: Callable[[str], None] = lambda _: None,
        on_progress: Callable[[DownloadProgress], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> tuple[Lora, ...]:
        """The LoRAs with their digests, found to fit; what is on the Hub only is downloaded. Reads headers only.

        Raises:
            RequestError: if there is no such file.
            LoraError: if one can't be applied to this model.
            CheckpointError: if one is damaged, or can't be downloaded.
        """
        return tuple(self._find(lora, find_lora(lora, say, on_progress, should_stop)) for lora in loras)

    def _find(self, lora: Lora, path: Path) -> Lora:
        found = with_digest(lora, path)
        known = self._fitted.get(found.digest)
        if known is None or known.file.path != path:
            self._fitted[found.digest] = fit(read_lora_file(path), self.config, self.model)
        if recipe := find_recipe(lora, path):
            self._recipes[found.digest] = recipe
        return replace(found, name=str(path)) if lora.name == str(path) else found

    def summaries(self, loras: Sequence[Lora]) -> list[str]:
        """A sentence on what each does, for the run's log; they were found."""
        return [self._fitted[lora.digest].summary(lora.title, lora.scale) for lora in loras]

    def recipe(self, loras: Sequence[Lora]) -> Recipe:
        """How the first of these, which were found, wants to be used that says so."""
        said = (self._recipes.get(lora.digest) for lora in loras if lora.scale)
        return next((recipe for recipe in said if recipe), Recipe())

    def fitted(self, loras: Sequence[Lora]) -> list[FittedLora]:
        """The files of those that change anything; they were found."""
        return [self._fitted[lora.digest] for lora in loras if lora.scale]

    def branches(self, loras: Sequence[Lora], on_bytes: Callable[[int], None]) -> Branches:
        """What is computed beside the matrices for these, which were found; others are let go of first.

        Raises:
            LoraError: if one holds NaN, or changes nothing.
            CheckpointError: if a file can't be read to its end.
        """
        wanted = [lora for lora in loras if lora.scale]
        for digest in set(self._loaded) - {lora.digest for lora in wanted}:
            del self._loaded[digest]
        found: dict[str, list[tuple[float, Branch]]] = {}
        for lora in wanted:
            if lora.digest not in self._loaded:
                self._loaded[lora.digest] = load_branches(self._fitted[lora.digest], self.dtype, on_bytes)
            for path, branch in self._loaded[lora.digest].items():
                found.setdefault(path, []).append((lora.scale, branch))
        return found

    def forget(self) -> None:
        """Let go of what is in memory."""
        self._loaded.clear()
