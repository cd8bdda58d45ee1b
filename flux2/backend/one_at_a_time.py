"""One thread computes at a time, and leaves nothing of MLX's behind."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from flux2.backend.mlx import mx

_P = ParamSpec("_P")
_R = TypeVar("_R")

_computing = threading.RLock()
"""Held by whoever computes: MLX's memory and cache are the process's, and two threads that evaluate while one of them
empties the cache hang or abort (MLX 0.32.4)."""


def one_at_a_time(method: Callable[_P, _R]) -> Callable[_P, _R]:
    """The method, waiting for other threads that compute."""

    @functools.wraps(method)
    def alone(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _computing:
            try:
                return method(*args, **kwargs)
            finally:
                if threading.current_thread() is not threading.main_thread():
                    mx.clear_streams()  # this thread's own, whose threads would else abort the process at its exit

    return alone
