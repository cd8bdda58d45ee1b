"""What the planner asks of the process that computes: the one module of this folder that loads MLX."""

from __future__ import annotations

from flux2.backend import memory
from flux2.backend.mlx import default_dtype, device_type
from flux2.planning.budget import Budget, user_budget
from flux2.planning.run_facts import Engine


def budget(limit: int | None = None) -> Budget:
    """Memory that a run of this process may take.

    Args:
        limit: bytes that the user allows; None is what the environment or else the device says.

    Raises:
        RequestError: if the environment's makes no sense.
    """
    return Budget.now(limit or user_budget() or memory.memory_limit(), memory.read())


def engine(dtype: str | None = None) -> Engine:
    """The engine of this process; `dtype` None is the device's own."""
    return Engine(dtype=dtype or default_dtype(), device=device_type())
