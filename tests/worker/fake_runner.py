"""An engine that computes nothing: it tells, in real time, the events a real one would, and the faults a test asks for.

The prompt says what is to happen: `steps=12 pause=0.05 fail crash abort stubborn warn=20 length=99`, the
last two being warnings per step and their length.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from flux2 import events as ev
from flux2.errors import CheckpointError, GenerationCancelled
from flux2.request import GenerationRequest
from flux2.worker.runner import Device

GIB = 1 << 30


class FakeRunner:
    def __init__(self) -> None:
        self._ready = False
        self._active = 0
        self._model = ""

    def prepare(self) -> Device:
        time.sleep(float(os.environ.get("FAKE_PREPARE", "0")))
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
        self, request: GenerationRequest, *, run: str, on_event: ev.EventHandler, should_cancel: Callable[[], bool]
    ) -> None:
        script = Script(request.prompt)
        began = time.time()
        phases = ("encode", "load", "denoise", "decode", "save")
        on_event(ev.RunStarted(run=run, request={**request.to_dict(), "steps": script.steps, "seed": 1}, phases=phases))
        for phase in phases:
            started = time.time()
            on_event(ev.PhaseStarted(run=run, phase=phase, memory=self._memory()))
            if phase == "load":
                self._active, self._model = GIB, f"{request.model} {request.quantization}"
                on_event(ev.PhaseProgress(run=run, phase=phase, done=1, total=1, unit="tensors"))
            if phase == "denoise":
                self._denoise(script, run, on_event, should_cancel)
            on_event(
                ev.PhaseFinished(
                    run=run, phase=phase, started=started, seconds=time.time() - started, memory=self._memory()
                )
            )
        path = Path(os.environ["FLUX2_OUTPUT"]) / f"{run}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(0))
        on_event(
            ev.RunFinished(
                run=run, path=str(path), seed=1, seconds=time.time() - began, peaks={"denoise": GIB}, timings={}
            )
        )

    def _denoise(self, script: Script, run: str, on_event: ev.EventHandler, should_cancel: Callable[[], bool]) -> None:
        for step in range(1, script.steps + 1):
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

    def fault(self) -> None:
        if self.has("fail"):
            raise CheckpointError("The file is truncated; download it again.")
        if self.has("crash"):
            raise ZeroDivisionError("by zero")
        if self.has("abort"):
            print("libc++abi: terminating due to \x1b[31mImpacting Interactivity", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGABRT)


def picture(step: int) -> bytes:
    """A small PNG that differs by step."""
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (step * 20 % 256, 100, 150)).save(out, "PNG")
    return out.getvalue()
