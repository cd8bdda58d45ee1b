"""The engine as the worker runs it. MLX is imported by `prepare`, not with this module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from flux2.encode.token_count import TokenCounter
from flux2.events import EventHandler, Memory
from flux2.request import GenerationRequest
from flux2.worker.runner import Device

if TYPE_CHECKING:
    from flux2.generate import Generator


class EngineRunner:
    """Keeps one `flux2.generate.Generator` for all runs."""

    def __init__(self) -> None:
        self._generator: Generator | None = None
        self._read: Callable[[], Memory] | None = None
        self._tokens = TokenCounter()

    def prepare(self) -> Device:
        from flux2.backend import memory
        from flux2.backend.mlx import device_type

        self._read = memory.read
        return Device(name=memory.device_name(), memory_limit=memory.memory_limit(), backend=device_type())

    def warm_up(self) -> None:
        # A second or more, better spent while the user types than in the first run.
        import tokenizers  # noqa: F401 — the first prompt needs them

        from flux2.generate import Generator

        self._generator = Generator()

    def run(
        self,
        request: GenerationRequest,
        *,
        run: str,
        on_event: EventHandler,
        should_cancel: Callable[[], bool],
        state: Path,
    ) -> None:
        if self._generator is None:  # warming up failed; here the reason becomes the run's
            self.warm_up()
        assert self._generator
        self._generator.generate(request, run=run, on_event=on_event, should_cancel=should_cancel, state=state)

    def unload(self) -> None:
        if self._generator:
            self._generator.unload()

    def count_tokens(self, model: str, prompt: str) -> tuple[int, int] | None:
        return self._tokens.count(model, prompt)

    @property
    def model(self) -> str:
        return self._generator.model if self._generator else ""

    def memory(self) -> Memory | None:
        return self._read() if self._read else None
