"""The training loop all stages share: CUDA graphs, several GPUs, a schedule by the clock, a state to continue from.

A training step of networks this small is bound by launching kernels, so each is recorded once as a CUDA graph and
replayed (twice as fast, measured). On several GPUs each process computes gradients of its own data; they are averaged
between the graph of the gradients and that of the update.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .optimizer import FlatWeights, Optimizer

ON_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"
COMPUTE = torch.bfloat16 if ON_GPU else torch.float32
STARTED = time.monotonic()


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def join_others(number: int, processes: int) -> None:
    """Make this process number `number` of `processes`, each with a GPU of its own."""
    if ON_GPU:
        torch.cuda.set_device(number)
    if processes > 1:
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", "29511")
        dist.init_process_group("nccl" if ON_GPU else "gloo", rank=number, world_size=processes)


def share(tensor: Tensor) -> Tensor:
    """The first process's value, in place."""
    if world() > 1:
        dist.broadcast(tensor, 0)
    return tensor


def average(tensor: Tensor) -> Tensor:
    """The mean over the processes, in place."""
    if world() > 1:
        dist.all_reduce(tensor)
        tensor /= world()
    return tensor


def say(*words: object) -> None:
    if rank() == 0:
        print(f"[{time.monotonic() - STARTED:6.0f}]", *words, flush=True)


def synchronize() -> None:
    if ON_GPU:
        torch.cuda.synchronize()


def recorded(function: Callable[[], None]) -> Callable[[], None]:
    """The function as a CUDA graph (it runs three times on the way); the function itself on a CPU."""
    if not ON_GPU:
        return function
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        function()
    synchronize()
    replay: Callable[[], None] = graph.replay
    return replay


@dataclass
class Schedule:
    """The learning rate rises over `warmup` steps, stays, and falls linearly over the last `decay` of the time."""

    seconds: float
    learning_rate: float
    warmup: int = 150
    decay: float = 0.3

    def at(self, progress: float, step: int) -> float:
        rising = min(1.0, (step + 1) / self.warmup)
        falling = min(1.0, max(0.01, (1 - progress) / self.decay))
        return self.learning_rate * rising * falling


@dataclass
class Task:
    """One kind of step: a loss over data of one shape, with `share` of the steps from `start` to `end` of the time."""

    loss: Callable[[], Tensor]
    share: float = 1.0
    start: float = 0.0
    end: float = 1.0
    run: Callable[[], None] = field(default=lambda: None, repr=False)


class Trainer:
    """Trains modules on tasks for `schedule.seconds`, counted over all sittings if `state` is given."""

    def __init__(self, name: str, modules: Iterable[nn.Module], schedule: Schedule, tasks: Sequence[Task]) -> None:
        self.name, self.schedule, self.tasks = name, schedule, tasks
        self.weights = FlatWeights(modules)
        share(self.weights.values)
        self.optimizer = Optimizer(self.weights)
        self._total = torch.zeros((), device=self.weights.values.device)
        self.step_number, self.spent = 0, 0.0
        self._record()

    def _record(self) -> None:
        started = time.monotonic()
        before = self.weights.values.clone()
        for task in self.tasks:
            task.run = recorded(self._gradients_of(task.loss))
        self._update = recorded(self.optimizer.step)
        self.weights.values.copy_(before)
        for key, tensor in self.optimizer.state().items():
            if key != "values":
                tensor.zero_()
        self._total.zero_()
        say(f"{self.name}: {len(self.tasks)} kinds of step recorded in {time.monotonic() - started:.0f} s")

    def _gradients_of(self, loss_of: Callable[[], Tensor]) -> Callable[[], None]:
        def gradients() -> None:
            self.weights.gradients.zero_()
            loss = loss_of()
            loss.backward()
            self._total.add_(loss.detach())

        return gradients

    def save(self, path: Path) -> None:
        """Everything needed to go on later; written whole or not at all."""
        if rank() == 0:
            unfinished = path.with_suffix(".part")
            torch.save(self.optimizer.state() | {"step_number": self.step_number, "spent": self.spent}, unfinished)
            unfinished.replace(path)

    def restore(self, path: Path) -> None:
        state = torch.load(path, map_location=self.weights.values.device, weights_only=True)
        self.step_number, self.spent = state.pop("step_number"), state.pop("spent")
        for key, tensor in self.optimizer.state().items():
            tensor.copy_(state[key])
        say(f"{self.name}: continued from step {self.step_number}, {self.spent:.0f} s")

    def run(
        self, between: Callable[[], None], report: Callable[[], str] = lambda: "", save_to: Path | None = None
    ) -> None:
        """Step until the time is over. `between` is called every few steps, `report` with every line printed."""
        rng = Random(self.step_number)
        clock = torch.zeros((), dtype=torch.float64, device=self.weights.values.device)
        started = last_said = last_saved = time.monotonic()
        spent_before, steps_said, next_line = self.spent, self.step_number, self.step_number + 100
        while True:
            if self.step_number % 10 == 0:
                synchronize()
                clock.fill_(spent_before + time.monotonic() - started)
                self.spent = float(share(clock))
                between()
                if self.spent >= self.schedule.seconds:
                    break
            progress = self.spent / self.schedule.seconds
            open_tasks = [task for task in self.tasks if task.start <= progress < task.end]
            task = rng.choices(open_tasks, [task.share for task in open_tasks])[0]
            self.optimizer.learning_rate.fill_(self.schedule.at(progress, self.step_number))
            task.run()
            average(self.weights.gradients)
            self._update()
            self.step_number += 1
            if self.step_number >= next_line:
                steps = self.step_number - steps_said
                loss, pace = float(average(self._total)) / steps, (time.monotonic() - last_said) / steps * 1000
                where = f"step {self.step_number}, {self.spent:.0f} s, {pace:.1f} ms"
                say(f"{self.name}: {where}, loss {loss:.4f} {report()}")
                self._total.zero_()
                last_said, steps_said = time.monotonic(), self.step_number
                next_line += 500
            if save_to is not None and time.monotonic() - last_saved > 60:
                self.save(save_to)
                last_saved = time.monotonic()
        if save_to is not None:
            self.save(save_to)
        say(f"{self.name}: done, {self.step_number} steps, {self.spent:.0f} s")
