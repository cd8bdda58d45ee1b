"""`flux2 models`: what can be chosen, under which licence, and what is on this machine; downloading and deleting."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from flux2.architecture.catalog import MODELS, find_card, same_model
from flux2.architecture.model_names import catalog_name, repository_of
from flux2.backend.awake import kept_awake
from flux2.commands.cancelling import CancelOnSignal
from flux2.errors import GenerationCancelled, RequestError
from flux2.events import DownloadProgress
from flux2.humanize import either, parameters, seconds, size
from flux2.store.inventory import ModelEntry, deletable, delete_model, free_room, list_models
from flux2.streams import deliver

_DESCRIPTION = """\
List the known models: size, licence, and how much of each is on this disk.

Models lie in the Hugging Face Hub's cache, where other programs find them and
theirs are found; HF_HOME or HF_HUB_CACHE moves it."""


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description = _DESCRIPTION
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    download = actions.add_parser("download", help="fetch a model, going on where it stopped", allow_abbrev=False)
    download.add_argument("model", metavar="MODEL", help=f"{', '.join(_downloadable())}, or a Hub repository")
    download.add_argument("--json", action="store_true", help="print one line of JSON instead of the folder")
    download.add_argument("--quiet", "-q", action="store_true", help="no progress bar and no summary")
    download.set_defaults(run=_download)
    delete = actions.add_parser("delete", help="remove a model from the disk", allow_abbrev=False)
    delete.add_argument("model", metavar="MODEL", help="a downloaded model, or one of which a part is here")
    delete.add_argument("--yes", "-y", action="store_true", help="do not ask")
    delete.set_defaults(run=_delete)


def _downloadable() -> list[str]:
    return [card.name for card in MODELS.values() if card.repo]


# --- list -------------------------------------------------------------------------------------------------------------


def run(args: argparse.Namespace) -> int:
    entries = list_models()
    if args.json:
        print(json.dumps([{**asdict(entry), "folder": entry.folder or None} for entry in entries]))
        return 0
    folder, free = free_room()
    print(_table(entries))
    print("\n* used where no --model is given. SIZE counts the transformer's parameters, DISK all files of the model.")
    print(f"{size(free)} are free on the disk of {_short(folder)}.")
    return 0


def _table(entries: tuple[ModelEntry, ...]) -> str:
    lines = [("NAME", "SIZE", "LICENCE", "DISK", "WHERE")]
    lines += [
        (
            f"{entry.title if entry.state == 'file' else entry.name}{' *' if entry.default else ''}",
            parameters(entry.parameters),
            f"{entry.licence}{', gated' if entry.gated else ''}",
            f"{'' if entry.here else '~'}{size(entry.size)}",
            _where(entry),
        )
        for entry in entries
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]) for line in lines
    )


def _where(entry: ModelEntry) -> str:
    prepared = f" ({' and '.join(entry.prepared)} prepared)" if entry.prepared else ""
    match entry.state:
        case "embedded":
            return "in this package" + prepared
        case "ready":
            return _short(Path(entry.folder)) + prepared
        case "file":
            of = either(entry.bases) if entry.bases else "no known model"
            return f"{_short(Path(entry.folder))}, of {of}{prepared}"
        case "partly":
            return f"{size(entry.here)} of it here; `flux2 models download {entry.name}` goes on"
        case _:
            return f"not here; on the Hub as {entry.repo}"


def _short(folder: Path) -> str:
    return f"~/{folder.relative_to(Path.home())}" if folder.is_relative_to(Path.home()) else str(folder)


# --- download and delete ----------------------------------------------------------------------------------------------


def _download(args: argparse.Namespace) -> int:
    from flux2.commands.progress_bar import ProgressBar
    from flux2.store.source import find_checkpoint, repo_to_download

    model = _meant(args.model)
    card = find_card(model)
    if card and not card.repo:
        raise RequestError(f"{card.name} is in this package: there is nothing to download.")
    was_here, started = not repo_to_download(model), time.perf_counter()
    last: DownloadProgress | None = None
    cancel = CancelOnSignal("Stopping.")

    def show(progress: DownloadProgress) -> None:
        nonlocal last
        last = progress
        bar.update_download(progress)

    try:
        with cancel, kept_awake(), ProgressBar(shown=sys.stderr.isatty() and not args.quiet) as bar:
            folder = find_checkpoint(model, on_progress=show, should_stop=lambda: bool(cancel.received))
    except GenerationCancelled:
        how_far = f" at {size(last.done)} of {size(last.total)}" if last and last.total else ""
        print(f"flux2: Stopped{how_far}; what has come is kept, and the same command goes on.", file=sys.stderr)
        return 128 + cancel.received
    taken = time.perf_counter() - started
    facts = {"folder": str(folder), "bytes": last.total if last else 0, "seconds": round(taken, 3)}
    deliver(json.dumps(facts) if args.json else str(folder), made=f"The model is in {folder}.")
    if not args.json and not args.quiet:
        summary = (
            "It was here already." if was_here or not last else f"{size(last.total)} in {seconds(taken)}, checked."
        )
        print(summary, file=sys.stderr)
    return 0


def _meant(model: str) -> str:
    """The name of what is to be fetched from the Hub, or was: folders of the user's own don't count."""
    return catalog_name(model) or repository_of(model)


def _delete(args: argparse.Namespace) -> int:
    model = _meant(args.model)
    repo = deletable(model)
    _refuse_in_use(model, repo)
    if not args.yes:
        if not sys.stdin.isatty():
            raise RequestError(f"Deleting {model} asks first, and nobody can answer here; add --yes.")
        print(f"Delete {model} ({repo}) from the disk? It can be downloaded again. [y/N] ", end="", flush=True)
        answer = sys.stdin.readline()
        if answer.strip().lower() not in ("y", "yes"):
            print("Nothing was deleted.")
            return 0
    print(f"{model} was deleted; {size(delete_model(model))} are free again.")
    return 0


def _refuse_in_use(model: str, repo: str) -> None:
    """
    Raises:
        RequestError: if the dashboard's worker has a picture to make with it.
    """
    from flux2.worker import control

    snapshot = control.status()
    asked = [str(item.get("request", {}).get("model")) for item in snapshot.queue] if snapshot else []
    if any(same_model(name, repo) for name in asked):
        raise RequestError(f"The worker has pictures to make with {model}; cancel them or wait, then delete it.")
