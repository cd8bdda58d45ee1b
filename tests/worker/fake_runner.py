"""An engine that computes nothing: it tells, in real time, the events a real one would, and the faults a test asks for.

The prompt says what is to happen: `steps=12 pause=0.05 refuse fail crash abort stubborn keep warn=20 length=99 die=load
how=abort`; warn and length are warnings per step and their length, keep writes a file to be taken up from, die and how
are the phase in which the process ends and the way of `DEATHS`.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import numpy

from flux2 import events as ev
from flux2.disk.atomic import write_atomically
from flux2.errors import CheckpointError, GenerationCancelled
from flux2.pictures.image_metadata import ImageMetadata
from flux2.pictures.images import save_png
from flux2.request import GenerationRequest
from flux2.worker import connection
from flux2.worker.engine import EngineRunner
from flux2.worker.journal import Journal
from flux2.worker.runner import Device
from flux2.worker.scheduler import Scheduler
from flux2.worker.unfinished import kept_step

GIB = 1 << 30


class FakeRunner:
    def __init__(self) -> None:
        self._ready = False
        self._active = 0
        self._model = ""

    def prepare(self) -> Device:
        if waited_for := os.environ.get("FAKE_PREPARE"):  # a file
            while not Path(waited_for).exists():
                time.sleep(0.01)
        if fault := os.environ.get("FAKE_FAULT"):
            raise RuntimeError(fault)
        self._ready = True
        return Device(name="Fake device", memory_limit=8 * GIB)

    def warm_up(self) -> None:
        pass

    def count_tokens(self, model: str, prompt: str) -> tuple[int, int] | None:
        return (len(prompt.split()), 512) if model == "pocket" else None

    @property
    def model(self) -> str:
        return self._model

    def memory(self) -> ev.Memory | None:
        return self._memory() if self._ready else None

    def unload(self) -> None:
        self._active, self._model = 0, ""

    def run(
        self,
        request: GenerationRequest,
        *,
        run: str,
        on_event: ev.EventHandler,
        should_cancel: Callable[[], bool],
        state: Path,
    ) -> None:
        script = Script(request.prompt)
        if script.has("refuse"):
            raise CheckpointError("The folder holds no model.")
        began, first_step = time.time(), kept_step(state)
        phases = ("encode", "load", "denoise", "decode", "save")
        carried_out = {**request.to_dict(), "steps": script.steps, "seed": request.seed or 1}
        on_event(ev.RunStarted(run=run, request=carried_out, phases=phases, first_step=first_step))
        for phase in phases:
            started = time.time()
            on_event(ev.PhaseStarted(run=run, phase=phase, memory=self._memory()))
            script.die_in(phase)
            if phase == "load":
                self._active, self._model = GIB, f"{request.model} {request.quantization}"
                on_event(ev.PhaseProgress(run=run, phase=phase, done=1, total=1, unit="tensors"))
            if phase == "denoise":
                self._denoise(script, run, on_event, should_cancel, state)
            if phase == "save":
                path = save(request, run)
            on_event(
                ev.PhaseFinished(
                    run=run, phase=phase, started=started, seconds=time.time() - started, memory=self._memory()
                )
            )
        on_event(
            ev.RunFinished(
                run=run, path=str(path), seed=1, seconds=time.time() - began, peaks={"denoise": GIB}, timings={}
            )
        )

    def _denoise(
        self, script: Script, run: str, on_event: ev.EventHandler, should_cancel: Callable[[], bool], state: Path
    ) -> None:
        for step in range(kept_step(state) + 1, script.steps + 1):
            time.sleep(script.pause)
            if should_cancel() and not script.has("stubborn"):
                raise GenerationCancelled("cancelled")
            if step == 2:
                script.fault()
            for _ in range(script.number("warn")):
                on_event(ev.Warned(run=run, message="." * script.number("length")))
            on_event(
                ev.StepFinished(
                    run=run,
                    step=step,
                    steps=script.steps,
                    sigma=1 - step / (script.steps + 1),
                    seconds=script.pause,
                    memory=self._memory(),
                )
            )
            if script.has("keep"):
                write_atomically(state, numpy.save({"latents": np.zeros(1)}, {"step": str(step)}))
            on_event(ev.Preview(run=run, step=step, steps=script.steps, width=16, height=16, png=picture(step)))

    def _memory(self) -> ev.Memory:
        return ev.Memory(active=self._active, peak=self._active, cache=0)


class Script:
    def __init__(self, prompt: str) -> None:
        self._words = dict(word.partition("=")[::2] for word in prompt.split())
        self.steps = self.number("steps") or 4
        self.pause = float(self._words.get("pause", 0.02))

    def has(self, word: str) -> bool:
        return word in self._words

    def number(self, word: str) -> int:
        return int(self._words.get(word, 0))

    def die_in(self, phase: str) -> None:
        if self._words.get("die") == phase:
            time.sleep(0.2)  # what was told before is heard
            (DEATHS | {"hoard": _hoard})[self._words["how"]]()

    def fault(self) -> None:
        if self.has("fail"):
            raise CheckpointError("The file is truncated; download it again.")
        if self.has("crash"):
            raise ZeroDivisionError("by zero")
        if self.has("abort"):
            print("libc++abi: terminating due to \x1b[31mImpacting Interactivity", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGABRT)


def _die_of(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def _terminate() -> None:
    """End as the C++ runtime does where nobody catches what MLX throws."""
    error = "[METAL] Command buffer execution failed: Insufficient Memory (00000008:kIOGPUCommandBufferCallback"
    print(f"libc++abi: terminating due to uncaught exception: {error}ErrorOutOfMemory)", file=sys.stderr, flush=True)
    os.abort()


def _run_out_of_memory() -> None:
    raise MemoryError


def _hoard() -> None:
    held = []
    while True:
        held.append(bytearray(b"x" * (1 << 20)))  # touched, so that it is really there


DEATHS: dict[str, Callable[[], None]] = {
    "kill": _die_of(signal.SIGKILL),
    "segfault": _die_of(signal.SIGSEGV),
    "abort": os.abort,
    "exit": lambda: os._exit(7),
    "memory": _run_out_of_memory,
    "terminate": _terminate,
}


def save(request: GenerationRequest, run: str) -> Path:
    assert request.output, "a client says where its pictures go"
    chosen = Path(request.output) / f"{run}.png" if request.output.endswith("/") else Path(request.output)
    image = Image.open(io.BytesIO(picture(0)))
    return save_png(image, chosen, ImageMetadata(request=request, timings={"denoise": 1.0}))


def picture(step: int) -> bytes:
    """A small PNG that differs by step."""
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (step * 20 % 256, 100, 150)).save(out, "PNG")
    return out.getvalue()


class OfABrokenJournal(FakeRunner):
    """A runner whose worker's socket thread fails at its first act."""

    def __init__(self) -> None:
        super().__init__()
        Journal.run_folders = _fail  # type: ignore[assignment]


class OfABrokenQueue(FakeRunner):
    """A runner whose worker has a bug in a command."""

    def __init__(self) -> None:
        super().__init__()
        Scheduler.move = _fail  # type: ignore[assignment]


class OfAnotherProtocol(FakeRunner):
    """A runner whose worker is of another version: FAKE_PROTOCOL says which protocol it speaks."""

    def __init__(self) -> None:
        super().__init__()
        connection.PROTOCOL = int(os.environ["FAKE_PROTOCOL"])


def _fail(*_: object, **__: object) -> None:
    raise ZeroDivisionError("a bug")


class CarefulEngine(EngineRunner):
    """The real engine, which keeps its latents after every step."""

    def warm_up(self) -> None:
        from flux2.denoise import resume  # which imports MLX

        super().warm_up()
        resume.KEEP_EVERY = 0.0
