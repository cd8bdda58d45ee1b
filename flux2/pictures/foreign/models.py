"""Whether a model that another program names is one that there is here."""

from __future__ import annotations

import re

from flux2.catalog import MODELS


def known_model(name: str) -> str | None:
    """The catalog's name of a model by the file or title that another program knows it by; None for any other."""
    words = re.findall(r"[a-z]+|\d+[a-z]?", name.lower().rpartition(".safetensors")[0] or name.lower())
    joined = "-".join(words)
    if "flux-2" not in joined and "flux2" not in joined:
        return None
    if "dev" in words:
        return "dev"
    size = next((word for word in words if word in ("4b", "9b")), None)
    card = f"klein-base-{size}" if "base" in words else f"klein-{size}"
    return card if "klein" in words and "kv" not in words and card in MODELS else None
