"""Previews drawn aside: by a thread, while the next step is computed, so that being watched costs a run no time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from flux2.backend.mlx import mx
from flux2.denoise.preview import Array, DrawnPreview

Draw = Callable[[Array], DrawnPreview]
"""Draws the clean latents of a picture as far as they can be told, [tokens, channels]; called on the thread."""
Tell = Callable[[int, DrawnPreview], None]
"""Hears a step's number and its preview; called by those who call `PreviewsAside`, on their thread."""


@contextmanager
def previews_aside(draw: Draw, tell: Tell) -> Iterator[PreviewsAside]:
    """Previews that are all told of when the context ends well; where it ends with an error, none is any more."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="preview") as thread:
        aside = PreviewsAside(draw, tell, thread)
        yield aside
        aside.finish()


class PreviewsAside:
    """Draws one preview at a time. Made by `previews_aside`."""

    def __init__(self, draw: Draw, tell: Tell, thread: ThreadPoolExecutor) -> None:
        self._draw, self._tell, self._thread = draw, tell, thread
        self._underway: tuple[int, Future[DrawnPreview]] | None = None

    def begin(self, step: int, estimate: mx.array) -> None:
        """Draw a step's estimate [1, tokens, channels]; the preview before is told of first."""
        self.finish()
        tokens = np.array(estimate.astype(mx.float32))[0]  # a copy: MLX stays on the caller's thread
        self._underway = step, self._thread.submit(self._draw, tokens)

    def tell_if_done(self) -> None:
        """To be called now and then."""
        if self._underway and self._underway[1].done():
            self.finish()

    def finish(self) -> None:
        """Wait for what is being drawn, and tell of it."""
        if self._underway:
            (step, drawing), self._underway = self._underway, None
            self._tell(step, drawing.result())
