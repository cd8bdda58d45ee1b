"""The known models as data: where they are, whose licence, what they default to.

Sizes and layer counts are never read from here: every constant of a network comes from its own config.json.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """One model a user can choose by name."""

    name: str
    title: str
    repo: str
    """Hub repository; "" for the embedded one."""
    licence: str
    gated: bool
    parameters: float
    """Parameters of the transformer, in 1e9."""
    steps: int
    guidance: float
    size: tuple[int, int]
    """Default width × height, pixels."""
    sizes: tuple[tuple[int, int], ...]
    """Presets offered by the menus, width × height."""
    only_these_sizes: bool = False
    """True where the model was trained for `sizes` alone; others are drawn with a warning."""


_LARGE_SIZES = ((512, 512), (768, 768), (1024, 1024), (1024, 768), (768, 1024), (1280, 720), (720, 1280))
_REPO_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_NC = "FLUX Non-Commercial 2.1"

MODELS: dict[str, ModelCard] = {
    card.name: card
    for card in (
        ModelCard(
            name="pocket",
            title="Pocket (embedded)",
            repo="",
            licence="MIT",
            gated=False,
            parameters=0.013,
            steps=4,
            guidance=1.0,
            size=(256, 256),
            sizes=((256, 256), (320, 192), (192, 320)),
            only_these_sizes=True,
        ),
        ModelCard(
            name="klein-4b",
            title="FLUX.2 Klein 4B",
            repo="black-forest-labs/FLUX.2-klein-4B",
            licence="Apache-2.0",
            gated=False,
            parameters=3.9,
            steps=4,
            guidance=1.0,
            size=(1024, 1024),
            sizes=_LARGE_SIZES,
        ),
        ModelCard(
            name="klein-9b",
            title="FLUX.2 Klein 9B",
            repo="black-forest-labs/FLUX.2-klein-9B",
            licence=_NC,
            gated=True,
            parameters=9.1,
            steps=4,
            guidance=1.0,
            size=(1024, 1024),
            sizes=_LARGE_SIZES,
        ),
        ModelCard(
            name="klein-9b-kv",
            title="FLUX.2 Klein 9B KV",
            repo="black-forest-labs/FLUX.2-klein-9b-kv",
            licence=_NC,
            gated=True,
            parameters=9.1,
            steps=4,
            guidance=1.0,
            size=(1024, 1024),
            sizes=_LARGE_SIZES,
        ),
        ModelCard(
            name="klein-base-4b",
            title="FLUX.2 Klein base 4B",
            repo="black-forest-labs/FLUX.2-klein-base-4B",
            licence="Apache-2.0",
            gated=False,
            parameters=3.9,
            steps=50,
            guidance=4.0,
            size=(1024, 1024),
            sizes=_LARGE_SIZES,
        ),
        ModelCard(
            name="klein-base-9b",
            title="FLUX.2 Klein base 9B",
            repo="black-forest-labs/FLUX.2-klein-base-9B",
            licence=_NC,
            gated=True,
            parameters=9.1,
            steps=50,
            guidance=4.0,
            size=(1024, 1024),
            sizes=_LARGE_SIZES,
        ),
        ModelCard(
            name="dev",
            title="FLUX.2 Dev 32B",
            repo="black-forest-labs/FLUX.2-dev",
            licence="FLUX [dev] Non-Commercial 2.0",
            gated=True,
            parameters=32.2,
            steps=28,
            guidance=4.0,
            size=(1024, 1024),
            sizes=_LARGE_SIZES,
        ),
    )
}


def find_card(model: str) -> ModelCard | None:
    """The card of a catalog name or of a known Hub repository; None for a folder or a repository nobody listed."""
    if model in MODELS:
        return MODELS[model]
    return next((card for card in MODELS.values() if card.repo and card.repo.lower() == model.lower()), None)


def card_of(request: Mapping[str, object]) -> ModelCard | None:
    """The card of what a request names: its model, or what its single file is of."""
    return find_card(str(request.get("base") or request.get("model") or ""))


def same_model(one: str, other: str) -> bool:
    """Whether two names — catalog, repository or folder — mean the same model."""
    cards = find_card(one), find_card(other)
    return one == other or (cards[0] is not None and cards[0] is cards[1])


def is_repo_id(model: str) -> bool:
    """Whether it has the form of a Hub repository's id, `owner/name`."""
    return bool(_REPO_ID.fullmatch(model))


def label(model: str) -> str:
    """A short name for people: the catalog name, or a folder's or repository's last part."""
    card = find_card(model)
    return card.name if card else Path(model).name
