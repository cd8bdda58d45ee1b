"""`flux2 worker`: what the dashboard's worker process is doing, its log, and how to end it."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from flux2 import __version__
from flux2.asker import differing
from flux2.events import DownloadProgress
from flux2.humanize import clock, printable, size, transfer
from flux2.progress import RunProgress

if TYPE_CHECKING:
    from flux2.worker.protocol import Snapshot, WorkerInfo

_NONE = "No worker is running; flux2-tui starts one."


def fill(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    status = actions.add_parser("status", help="what it is doing", allow_abbrev=False)
    status.add_argument("--json", action="store_true", help="print one line of JSON; null where none is running")
    status.set_defaults(run=_status)
    stop = actions.add_parser("stop", help="end it, breaking off its run; the queue is kept", allow_abbrev=False)
    stop.add_argument("--when-idle", action="store_true", help="let it finish its run and its queue first")
    stop.set_defaults(run=_stop)
    unfinished = actions.add_parser("unfinished", help="list the runs that broke off", allow_abbrev=False)
    unfinished.set_defaults(run=_unfinished)
    resume = actions.add_parser("resume", help="take up a run that broke off, or save its picture", allow_abbrev=False)
    resume.add_argument("run_id", nargs="?", default="", metavar="RUN", help="which (default: the newest)")
    resume.add_argument("--output", "-o", default="", metavar="PATH", help="where a picture goes that was not saved")
    resume.set_defaults(run=_resume)
    discard = actions.add_parser("discard", help="let a run that broke off go", allow_abbrev=False)
    discard.add_argument("run_id", metavar="RUN", help="which")
    discard.set_defaults(run=_discard)
    log = actions.add_parser("log", help="show what it wrote last", allow_abbrev=False)
    log.add_argument("--lines", "-n", type=int, default=20, metavar="N", help="how many lines (default: 20)")
    log.set_defaults(run=_log)


def _status(args: argparse.Namespace) -> int:
    from flux2.worker import control

    snapshot = control.status()
    if args.json:
        print(json.dumps(_facts(snapshot) if snapshot else None))
    else:
        print(_text(snapshot, time.time()) if snapshot else _NONE)
    return 0


def _stop(args: argparse.Namespace) -> int:
    from flux2.worker import control

    if args.when_idle:
        print("It ends when its queue is done." if control.stop_when_idle() else _NONE)
    else:
        print("Stopped." if control.stop() else _NONE)
    return 0


def _unfinished(_: argparse.Namespace) -> int:
    from flux2.worker import control

    print("\n".join(map(_left, control.unfinished())) or "No run is unfinished.")
    return 0


def _resume(args: argparse.Namespace) -> int:
    from flux2.worker import control

    print(control.resume(args.run_id, args.output))
    return 0


def _discard(args: argparse.Namespace) -> int:
    from flux2.worker import control

    control.discard(args.run_id)
    print("It is gone.")
    return 0


def _left(run: dict[str, Any]) -> str:
    state = "picture not saved" if run["picture"] else f"step {run['step']} of {run['steps']}"
    return printable(f"{run['id']}  {state:<18} {_asked_for(run['request'])}")


def _log(args: argparse.Namespace) -> int:
    from flux2.worker import control

    print("\n".join(control.log(args.lines)) or "No worker has written anything yet.")
    return 0


def _facts(snapshot: Snapshot) -> dict[str, Any]:
    worker = snapshot.worker
    return {
        "pid": worker.pid,
        "version": worker.version,
        "started": worker.started,
        "log": worker.log,
        "ready": worker.ready,
        "device": worker.device,
        "memory_limit": worker.memory_limit,
        "model": worker.model,
        "queue": list(snapshot.queue),
        "unfinished": list(snapshot.unfinished),
    }


def _text(snapshot: Snapshot, now: float) -> str:
    worker = snapshot.worker
    lines = [
        f"worker {worker.pid}, version {worker.version}{_unlike_ours(worker)}, up {clock(now - worker.started)}",
        f"  device   {worker.device}, limit {size(worker.memory_limit)}" if worker.ready else "  loading MLX",
        f"  loaded   {worker.model or 'no model'}",
        *(f"  {item['state']:<8} {_asked_for(item['request'])}{_how_far(item, snapshot)}" for item in snapshot.queue),
        *(
            f"  fetching {told.model}: "
            f"{transfer(told.done, told.total, told.bytes_per_second, told.seconds_left) or told.state}"
            for told in snapshot.log
            if isinstance(told, DownloadProgress) and told.going_on
        ),
        *(f"  broke off {_left(run)}" for run in snapshot.unfinished),
        f"  log      {worker.log}",
    ]
    return printable("\n".join(lines))


def _unlike_ours(worker: WorkerInfo) -> str:
    """What of it is not as a new one's would be."""
    if worker.version != __version__:
        return f" (this is {__version__})"
    names = differing(worker.environment)
    return f" (with another {', '.join(names)})" if names else ""


def _asked_for(request: dict[str, Any]) -> str:
    prompt = " ".join(str(request.get("prompt", "")).split())
    return f"{prompt:.60}{'…' if len(prompt) > 60 else ''} ({request.get('model')}, {request.get('quantization')})"


def _how_far(item: dict[str, Any], snapshot: Snapshot) -> str:
    record = next((record for record in snapshot.runs if record.run == item["id"]), None)
    if item["state"] != "running" or record is None:
        return ""
    progress = RunProgress(run=record.run)
    for event in record.events:
        progress.apply(event)
    step = f", step {progress.step} of {progress.steps}" if progress.phase == "denoise" else ""
    return f": {progress.phase or 'starting'}{step}"
