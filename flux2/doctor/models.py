"""The models: which are here and whole, how fast their weights are read, and what of each would fit in memory now."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from flux2.architecture.catalog import MODELS, ModelCard
from flux2.doctor.finding import Finding, note, ok
from flux2.humanize import size
from flux2.inputs.checks import AUTO
from flux2.planning.fit import Fit, weigh
from flux2.request import GenerationRequest
from flux2.store.configs import find_networks
from flux2.store.local import find_local, is_ready

SLOW_DISK = 500_000_000
"""Bytes a second below which a streamed run mostly waits for the disk; a Mac's own gives several times as many."""
_READ, _PIECE = 256 << 20, 8 << 20
"""Bytes that are read to tell, and at a time."""
_DOWNLOADED: list[ModelCard] = [card for card in MODELS.values() if card.repo]


def check_models() -> Iterator[Finding]:
    """What is downloaded, and whether the Hub's token is set (never what it is)."""
    here = {name: folder for name in MODELS if (folder := find_local(name))}
    whole = [name for name, folder in here.items() if is_ready(folder)]
    yield ok(f"models here: {', '.join(whole)}")
    if parts := [name for name in here if name not in whole]:
        yield note(f"of {', '.join(parts)} files are missing", f"`flux2 models download {parts[0]}` fetches them.")
    gated = [card.name for card in _DOWNLOADED if card.gated and card.name not in here]
    if gated and not _has_token():
        yield note(
            f"no Hugging Face token is set, which {', '.join(gated)} would need",
            "Accept the licence on the model's page and run `hf auth login`, if you want one of them.",
        )


def check_reading() -> Iterator[Finding]:
    """How fast the weights of each downloaded model come from its disk."""
    for card in _DOWNLOADED:
        folder = find_local(card.name)
        files = sorted((folder / "transformer").glob("*.safetensors")) if folder else []
        if not files:
            continue
        speed = _read_speed(max(files, key=lambda file: file.stat().st_size))
        text = f"{card.name} is read at {size(speed)} per second"
        if speed < SLOW_DISK:
            yield note(text, "A streamed run reads the transformer in every step: keep it on a faster disk for that.")
        else:
            yield ok(text)


def check_fit() -> Iterator[Finding]:
    """What `auto` would take of each model, in the size it was made for."""
    from flux2.planning import this_machine  # here, for it loads MLX, without which the other checks of this module do

    engine, budget = this_machine.engine(), this_machine.budget()
    fits = [weigh(_best_of(card), find_networks(card.name), engine, budget) for card in _DOWNLOADED]
    text = f"a run may take {size(budget.limit)}: {', '.join(map(_told, fits))}"
    if any(fit.verdict == "tight" for fit in fits):
        yield note(text, "What is tight fits when other programs make room: close some before long runs.")
    else:
        yield ok(text)


def _best_of(card: ModelCard) -> GenerationRequest:
    return GenerationRequest(prompt="-", model=card.name, quantization=AUTO, residency=AUTO)


def _told(fit: Fit) -> str:
    """`klein-9b int4 (tight)`"""
    return f"{fit.request.model} {fit.level}" + (f" ({fit.verdict})" if fit.verdict != "fits" else "")


def _read_speed(file: Path) -> float:
    """Bytes per second from the middle of a file, past the system's cache as far as it lets one."""
    with file.open("rb", buffering=0) as opened:
        _uncached(opened.fileno())
        opened.seek(file.stat().st_size // 2)
        piece, done, began = bytearray(_PIECE), 0, time.perf_counter()
        while done < _READ and (count := opened.readinto(piece)):
            done += count
        return done / (time.perf_counter() - began)


def _uncached(descriptor: int) -> None:
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_NOCACHE, 1)
    else:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _has_token() -> bool:
    from huggingface_hub import get_token

    return bool(get_token())
