"""From what a user calls a model — a catalog name, a Hub repository, a folder — to a checkpoint folder on this disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flux2.catalog import MODELS, ModelCard, find_card, is_repo_id
from flux2.checkpoint.files import INDEX_FILE, NEEDED_FILES, missing_file, read_index
from flux2.checkpoint.local import find_local
from flux2.errors import CheckpointError, RequestError


def find_checkpoint(model: str, say: Callable[[str], None] = lambda _: None) -> Path:
    """The folder of a model, downloaded first where it is on the Hub only.

    Args:
        model: a catalog name, a path, or a Hub repository id, looked for in this order.
            A repository of which only a part is here is completed.
        say: told in a sentence what takes long.

    Raises:
        RequestError: if there is no such model.
        CheckpointError: if it can't be downloaded; the sentence says why and what to do.
    """
    card = find_card(model)
    folder = find_local(model)
    if folder and (card is None or not card.repo or missing_file(folder) is None):
        return folder
    repo = card.repo if card else model
    if not is_repo_id(repo):
        raise RequestError(f"There is no model or folder {model!r}; choose {', '.join(MODELS)}, or name a folder.")
    return _download(repo, card, say)


def _download(repo: str, card: ModelCard | None, say: Callable[[str], None]) -> Path:
    from huggingface_hub import snapshot_download  # slow to import, and not needed for what is on this disk already
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    say(f"Downloading {repo} from the Hugging Face Hub.")
    page = f"https://huggingface.co/{repo}"
    try:
        read_index(Path(snapshot_download(repo, allow_patterns=[INDEX_FILE])))  # refuse before gigabytes have come
        return Path(snapshot_download(repo, allow_patterns=list(NEEDED_FILES)))
    except RepositoryNotFoundError as error:  # GatedRepoError is one; without a token, gated ones may look missing
        if isinstance(error, GatedRepoError) or (card and card.gated):
            licence = f" ({card.licence})" if card else ""
            raise CheckpointError(
                f"{repo} is gated: accept its licence{licence} at {page}, then log in with `hf auth login`."
            ) from error
        raise CheckpointError(f"The Hub has no repository {repo}, or it is private; check {page}.") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError) as error:
        raise CheckpointError(
            f"{repo} is not on this machine and the Hub can't be reached; connect, or choose the model pocket."
        ) from error
    except OSError as error:  # a full disk, and every HTTP error of the Hub's client
        reason = error.strerror or str(error).splitlines()[0]
        raise CheckpointError(f"Downloading {repo} failed ({reason}); try again to go on where it stopped.") from error
