"""Whether a checkpoint was trained for cached references (`flux2.models.reference_cache`).

Nothing in its weights or the transformer's config tells: its pipeline's class does or, where that is another one, its
repository's name. A model that was not trained for it draws worse pictures so, and nothing switches it on by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flux2.architecture.catalog import find_card
from flux2.architecture.model_names import read_name, repository_of

PIPELINE = "Flux2KleinKVPipeline"
"""Class in diffusers whose checkpoints were."""
_CARD = "klein-9b-kv"


def caches_references(index: Mapping[str, Any], place: Path) -> bool:
    """Whether the checkpoint was trained for it.

    Args:
        index: its model_index.json.
        place: its folder, or the single file of its transformer; one in the Hub's cache is named for its repository.
    """
    names = place.parts[-3:]  # a snapshot lies two folders below the repository's
    return index.get("_class_name") == PIPELINE or any(_is_named_so(repository_of(name)) for name in names)


def _is_named_so(name: str) -> bool:
    card = find_card(name)
    return card.name == _CARD if card else _CARD in (read_name(name).card, read_name(name).base)
