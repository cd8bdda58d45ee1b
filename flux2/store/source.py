"""The way from what a user calls a model — a catalog name, a Hub repository, a folder — to its folder on this disk."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from flux2.architecture.catalog import find_card
from flux2.checkpoint.files import CHECKPOINT_PARTS, VAE_FILES, files_without, missing_file, missing_from
from flux2.errors import CheckpointError, RequestError
from flux2.events import DownloadProgress
from flux2.store.local import find_local, find_local_vae, lacking, own_folder, vae_within
from flux2.store.unknown_model import why_no_model


def find_checkpoint(
    model: str,
    say: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[DownloadProgress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    without: Collection[str] = (),
) -> Path:
    """The folder of a model, downloaded first where it is on the Hub only.

    Args:
        model: a catalog name, a path, or a Hub repository id, looked for in this order.
            A repository of which only a part is here is completed.
        say: told in a sentence what takes long.
        on_progress: told how far a download is.
        should_stop: ends a download when it becomes true.
        without: parts whose weights are not wanted.

    Raises:
        RequestError: if there is no such model.
        CheckpointError: if it can't be downloaded; the sentence says why and what to do.
        DownloadStopped: soon after `should_stop()` has become true.
    """
    if not (repo := repo_to_download(model, without)):
        folder = find_local(model)
        assert folder
        return folder
    from flux2.store.download import download

    say(f"Downloading {f'the other parts of {repo}' if without else repo} from the Hugging Face Hub.")
    return download(repo, on_progress, should_stop, model=model, patterns=files_without(without))


def repo_to_download(model: str, without: Collection[str] = ()) -> str:
    """The Hub repository that a run of this model would have to download or complete; "" if all of it is here.

    Args:
        without: parts whose weights are not wanted.

    Raises:
        RequestError: if there is no such model.
    """
    card = find_card(model)
    if own_folder(model) or (card and not card.repo):
        return ""
    folder = find_local(model)
    if folder and (missing_file(folder, without) if without else lacking(folder)) is None:
        return ""
    if card is None and (reason := why_no_model(model)):
        raise RequestError(reason)
    return card.repo if card else model


def find_vae(
    name: str,
    say: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[DownloadProgress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """The folder of an autoencoder by itself, or of a checkpoint's; downloaded first where it is on the Hub only.

    Args:
        name: a path, a Hub repository id or a catalog name, looked for in this order. See `find_checkpoint` for others.

    Raises:
        RequestError: if there is no such folder.
        CheckpointError: if it can't be downloaded, or the repository has no autoencoder.
        DownloadStopped: soon after `should_stop()` has become true.
    """
    folder = find_local_vae(name)
    if folder and missing_from(folder, CHECKPOINT_PARTS["vae"].weights) is None:
        return folder
    if own := own_folder(name):
        if folder is None:
            raise RequestError(
                f"There is no autoencoder in {own}; name a folder with its config.json, or a repository."
            )
        return folder  # whoever opens it says what is missing
    card = find_card(name)
    if card is None and (reason := why_no_model(name, "an autoencoder")):
        raise RequestError(reason)
    repo = card.repo if card else name
    from flux2.store.download import download

    say(f"Downloading the autoencoder of {repo} from the Hugging Face Hub.")
    downloaded = vae_within(download(repo, on_progress, should_stop, model=name, patterns=VAE_FILES))
    if downloaded is None:
        raise CheckpointError(f"{repo} has no autoencoder: neither config.json nor vae/config.json is there.")
    return downloaded
