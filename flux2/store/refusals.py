"""What the Hub or the disk refuses, in one sentence: what, and what to do. Never the library's own text, which holds
addresses that may be signed."""

from __future__ import annotations

import errno
import os
from typing import Any

from huggingface_hub import get_token
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from flux2.architecture.catalog import find_card
from flux2.folders import models_dir_variable
from flux2.store.route import PROXIES

LOGIN = "log in with `hf auth login`"
TOKENS_PAGE = "https://huggingface.co/settings/tokens"
_KEPT = "What has come is kept."
_CHOSEN = ("hf_endpoint", *PROXIES)


def in_words(error: Exception, repo: str) -> str:
    """Why `repo` could not be downloaded."""
    card = find_card(repo)
    page = f"https://huggingface.co/{repo}"
    status = _status(error)
    hidden = isinstance(error, RepositoryNotFoundError) or (status == 401 and not get_token())
    if isinstance(error, GatedRepoError) or (card and card.gated and hidden):
        licence = f" ({card.licence})" if card else ""
        if not get_token():
            return f"{repo} is gated: accept its licence{licence} at {page}, then {LOGIN}."
        return (
            f"{repo} is gated and the account of this machine's token may not read it: accept its licence{licence} at "
            f"{page} with that account; a fine-grained token must also allow gated repositories ({TOKENS_PAGE})."
        )
    if hidden:
        return f"The Hub has no repository {repo}, or it is private: check {page}, and {LOGIN} if it is yours."
    if isinstance(error, EntryNotFoundError):
        return f"{repo} was changed on the Hub while it was downloaded; try again."
    if status == 401:
        return f"The Hub refuses this machine's token (HF_TOKEN, or that of the last login): {LOGIN} again."
    if status == 403:
        return f"This machine's token may not read {repo}: allow gated repositories for it at {TOKENS_PAGE}."
    if status == 429:
        return f"The Hub gets too many requests from here; try again later. {_KEPT}"
    if status:
        return f"The Hub can't deliver {repo} now (HTTP {status}); try again later. {_KEPT}"
    if isinstance(error, OfflineModeIsEnabled):
        return (
            f"{repo} is not wholly on this machine, and HF_HUB_OFFLINE forbids to fetch it; unset it, or choose pocket."
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"The disk is full. {_KEPT} Make room and try again to go on."
    if isinstance(error, OSError) and error.errno:
        where = f" {error.filename}" if error.filename else ""
        remedy = f"{models_dir_variable()} names another folder for it"
        return f"The Hub cache{where} can't be written ({error.strerror}); {remedy}."
    return f"The Hub can't be reached ({type(error).__name__}); check {_way()}, or choose pocket. {_KEPT}"


def _way() -> str:
    """What leads to the Hub, as its user has chosen it."""
    chosen = [name for name in ("HF_ENDPOINT", *sorted(os.environ)) if name.lower() in _CHOSEN and os.environ.get(name)]
    return " and ".join(["the network", *dict.fromkeys(chosen)])


def _status(error: Exception) -> int:
    response: Any = getattr(error, "response", None)
    return int(response.status_code) if isinstance(error, HfHubHTTPError) and response is not None else 0
