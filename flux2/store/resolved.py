"""A model as one run uses it: its name is looked up once, and what was found is handed down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flux2.architecture.catalog import ModelCard, find_card
from flux2.checkpoint.layout import Checkpoint, open_checkpoint
from flux2.events import DownloadProgress
from flux2.store.configs import ConfigFile, Networks, networks_of
from flux2.store.local import resolve_name
from flux2.store.source import find_checkpoint, find_vae


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedModel:
    """A model on this disk, with its configs and headers read."""

    name: str
    """Name in the program: a catalog name, a Hub repository or a folder."""
    card: ModelCard | None
    checkpoint: Checkpoint

    def networks(self) -> Networks:
        """What its configs say, for the planner; which levels `flux2 quantize` has made files of is looked up now."""
        parts = self.checkpoint
        return networks_of(
            parts.folder,
            parts.index,
            transformer=ConfigFile(parts.transformer.folder / "config.json", parts.transformer.config),
            text_encoder=ConfigFile(parts.text_encoder.folder / "config.json", parts.text_encoder.config),
            vae=ConfigFile(parts.vae.folder / "config.json", parts.vae.config),
        )


def resolve_model(
    name: str,
    vae: str | None = None,
    say: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[DownloadProgress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> ResolvedModel:
    """Find a model and read its configs and headers; what is not here of it is downloaded first.

    Args:
        name: a catalog name, a path, or a Hub repository id.
        vae: another autoencoder in place of the model's own, named likewise.
        say: told in a sentence of what takes long.
        on_progress: told how far a download is.
        should_stop: ends a download when it becomes true.

    Raises:
        RequestError: if a name is unknown.
        CheckpointError: if the checkpoint can't be downloaded, or is incomplete or damaged.
        DownloadStopped: soon after `should_stop()` has become true.
    """
    known = resolve_name(name)
    folder = find_checkpoint(known, say, on_progress, should_stop)
    other = find_vae(resolve_name(vae), say, on_progress, should_stop) if vae else None
    return ResolvedModel(name=known, card=find_card(known), checkpoint=open_checkpoint(folder, other))
