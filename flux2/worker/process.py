"""The worker process: `python -m flux2.worker`. MLX on this, the main thread; the socket and the sampler on theirs."""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import os
import signal
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from flux2 import __version__, complaints, streams
from flux2 import events as ev
from flux2.asker import asked_by, read_once
from flux2.backend.awake import kept_awake
from flux2.backend.gpu_errors import sentence_for
from flux2.errors import Flux2Error, GenerationCancelled, PictureNotSavedError, WorkerError
from flux2.paths import socket_path, state_dir
from flux2.worker import access, logfile
from flux2.worker.journal import Journal
from flux2.worker.priority import give_way
from flux2.worker.protocol import WorkerInfo
from flux2.worker.runner import ENGINE, Runner, make_runner
from flux2.worker.sampler import Sampler
from flux2.worker.server import Server
from flux2.worker.tasks import Generate, Leave, Unload

EXIT_FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Be the user's worker until told to leave.

    Returns:
        The exit code: 0, or `EXIT_FAILED` or `access.EXIT_ALREADY_RUNS` after a sentence on stderr.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    streams.prepare()  # before the lock is opened, whose number must not be a stream's
    options = _parser().parse_args(arguments)
    try:
        with access.only_worker(state_dir() / "worker.lock", options.socket):
            if not options.foreground:
                logfile.redirect_output(logfile.log_path())
            logfile.write_start(__version__)
            for complaint in complaints:
                logfile.write("warning", complaint)
            faulthandler.enable(all_threads=False)  # an abort inside MLX leaves its traceback in the log
            with contextlib.suppress(PermissionError):  # a session of its own already
                os.setsid()
            give_way()
            _serve(options)
            logfile.write("info", f"worker {os.getpid()} left")
    except WorkerError as error:
        logfile.write("error", str(error))
        return access.EXIT_ALREADY_RUNS if isinstance(error, access.AlreadyRunning) else EXIT_FAILED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m flux2.worker", description="The process that owns MLX.")
    parser.add_argument("--socket", type=Path, default=socket_path(), help="where to listen (%(default)s)")
    parser.add_argument("--runner", default=ENGINE, help="module:class of what makes the pictures (%(default)s)")
    parser.add_argument("--idle-timeout", type=float, default=30 * 60.0, help="seconds (%(default)g)")
    parser.add_argument("--grace", type=float, default=5.0, help="seconds to obey a forced cancel in (%(default)g)")
    parser.add_argument("--foreground", action="store_true", help="leave stdout and stderr as they are")
    return parser


def _serve(options: argparse.Namespace) -> None:
    runner = make_runner(options.runner)
    info = WorkerInfo(
        pid=os.getpid(), version=__version__, started=time.time(), log=str(logfile.log_path()), environment=read_once()
    )
    listener = access.listen(options.socket)
    server = Server(
        listener,
        info,
        Journal(state_dir()),
        count_tokens=runner.count_tokens,
        idle_timeout=options.idle_timeout,
        grace=options.grace,
    )
    sampler = Sampler(runner.memory, lambda: server.watched, server.sample)
    # The signal's number goes straight to the socket thread, for this one may be deep inside MLX.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(server.signal_wakeup.fileno(), warn_on_full_buffer=False)
    server.start()
    sampler.start()
    try:
        _work(runner, server)
    finally:
        sampler.stop()
        server.close()


def _work(runner: Runner, server: Server) -> None:
    """Do one task after the other."""
    _prepare(runner, server)
    while True:
        server.main_is_free(runner.model)
        match server.next_task():
            case Generate() as task:
                _generate(task, runner, server)
            case Unload():
                runner.unload()
            case Leave():
                return


def _prepare(runner: Runner, server: Server) -> None:
    try:
        server.ready(runner.prepare())
        runner.warm_up()
    except Exception as error:
        logfile.write("error", traceback.format_exc())
        words = _in_words(error)
        reason = sentence_for(words, f"{words}.")
        server.emit(ev.Logged(level="error", message=f"The engine can't be loaded. {reason}"))


def _generate(task: Generate, runner: Runner, server: Server) -> None:
    """Make one picture; whatever goes wrong becomes an event."""
    run = task.job.run
    try:
        if task.cancelled.is_set():
            raise GenerationCancelled
        with asked_by(task.job.asker), kept_awake():
            server.downloads.ensure(task.job.request.model, task.cancelled.is_set, task.job.asker)
            runner.run(
                task.job.request,
                run=run,
                on_event=server.emit,
                should_cancel=task.cancelled.is_set,
                state=task.state,
            )
    except GenerationCancelled:
        server.emit(ev.RunCancelled(run=run))
    except Exception as error:
        message = str(error)
        if not isinstance(error, Flux2Error):
            words = _in_words(error)
            message = sentence_for(words, f"The engine failed: {words}.")
            logfile.write("error", traceback.format_exc())
        logfile.write("error", f"run {run}: {message}")
        if isinstance(error, PictureNotSavedError):
            server.keep_picture(run, error)
        server.emit(ev.RunFailed(run=run, message=message, details=traceback.format_exc()))


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": .")
