"""A model as one run uses it: its name is looked up once, and what was found is handed down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flux2.architecture.catalog import ModelCard, find_card
from flux2.checkpoint.layout import Checkpoint, open_files
from flux2.checkpoint.model_files import ModelFiles, files_of_folder
from flux2.events import DownloadProgress
from flux2.store.assembling import assemble, local_rest, local_vae, refuse_base, single_place, vae_in, with_others
from flux2.store.configs import Networks, networks_of
from flux2.store.local import resolve_name
from flux2.store.source import find_checkpoint, find_vae


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedModel:
    """A model on this disk, with its configs and headers read."""

    name: str
    """Name in the program: a catalog name, a Hub repository or a folder."""
    card: ModelCard | None
    files: ModelFiles
    checkpoint: Checkpoint
    base: str | None = None
    """What a single file is of, by name; None for a model that is whole by itself."""

    def networks(self) -> Networks:
        """What its configs say, for the planner; which levels `flux2 quantize` has made files of is looked up now."""
        return networks_of(self.files)


def resolve_model(
    name: str,
    vae: str | None = None,
    say: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[DownloadProgress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    *,
    base: str | None = None,
    text_encoder: str | None = None,
) -> ResolvedModel:
    """Find a model and read its configs and headers; what is not here of it is downloaded first.

    Args:
        name: a catalog name, a path, or a Hub repository id.
        vae: another autoencoder in place of the model's own, named likewise, or a single file.
        say: told in a sentence of what takes long, and of what was guessed.
        on_progress: told how far a download is.
        should_stop: ends a download when it becomes true.
        base: the model that a single file is of, named likewise; None for what can be told by itself.
        text_encoder: another text encoder in place of the model's own: a folder or a single file.

    Raises:
        RequestError: if a name is unknown, or what a single file is of can't be told.
        CheckpointError: if the checkpoint can't be downloaded, or is incomplete or damaged.
        DownloadStopped: soon after `should_stop()` has become true.
    """
    known = resolve_name(name)
    if place := single_place(known):

        def rest(model: str, without: frozenset[str]) -> Path:
            return local_rest(model, without) or find_checkpoint(model, say, on_progress, should_stop, without)

        files, model = assemble(place, base, rest, vae=vae, text_encoder=text_encoder, say=say)
        card = model.card
    else:
        refuse_base(known, base)
        files, card = files_of_folder(find_checkpoint(known, say, on_progress, should_stop)), find_card(known)
    other = None
    if vae:
        found = local_vae(resolve_name(vae)) or find_vae(resolve_name(vae), say, on_progress, should_stop)
        other = vae_in(found, files.parts["vae"])
    files = with_others(files, other, text_encoder)
    of = model.name if place else None
    return ResolvedModel(name=str(place or known), card=card, files=files, checkpoint=open_files(files), base=of)
