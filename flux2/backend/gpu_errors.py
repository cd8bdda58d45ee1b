"""What MLX's GPU backends say when they fail, as sentences with a remedy.

Metal's failures reach Python as a RuntimeError, or end the process in an abort whose last words are on standard error;
both hold the same text. The names are IOGPU's `kIOGPUCommandBufferCallbackError…` and the messages of MLX's allocator
and device loader; what helps against the display's watchdog is told in https://github.com/ml-explore/mlx/issues/3267.
This module imports no MLX, so that the screen can explain how a worker died.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SMALLER = "choose a smaller size, quantization or model, stream the transformer, or close other programs"


@dataclass(frozen=True, slots=True)
class GpuError:
    """One kind of failure."""

    pattern: re.Pattern[str]
    sentence: str
    out_of_memory: bool = False


def _error(pattern: str, sentence: str, *, out_of_memory: bool = False) -> GpuError:
    return GpuError(re.compile(pattern), sentence, out_of_memory)


GPU_ERRORS: tuple[GpuError, ...] = (
    _error(
        r"ErrorOutOfMemory|Insufficient Memory",
        f"The GPU ran out of memory; {_SMALLER}.",
        out_of_memory=True,
    ),
    _error(
        r"ErrorImpactingInteractivity|Impacting Interactivity",
        "macOS stopped the GPU's work because it kept the display waiting; let the display sleep, set "
        "AGX_RELAX_CDM_CTXSTORE_TIMEOUT=1 before the program starts, or choose a smaller size, and run it again.",
    ),
    _error(
        r"ErrorTimeout|GPU Timeout",
        "macOS stopped the GPU's work because one piece of it took too long; choose a smaller size, or read the "
        "weights from a faster disk.",
    ),
    _error(
        r"ErrorSubmissionsIgnored|InnocentVictim|ErrorHang|GPU Hang",
        "macOS refuses this process the GPU after an earlier failure of it or of another program; stop the worker and "
        "run it again.",
    ),
    _error(
        r"ErrorPageFault|GPU Address Fault",
        "The GPU met an invalid address, which is a fault of MLX or of the system; run it again, and report it with "
        "what `flux2 doctor` prints if it comes back.",
    ),
    _error(
        r"ErrorBackgroundExecutionNotPermitted",
        "macOS allows no GPU work from this session; log in on the Mac's own screen once, and run it again.",
    ),
    _error(
        r"No Metal device|Failed to load device|Metal GPU is not available|MTLCreateSystemDefaultDevice",
        "This session has no access to the Mac's GPU; log in on the Mac's own screen once, or start the worker there.",
    ),
    _error(
        r"greater than the maximum allowed buffer size",
        f"One array would be larger than the GPU allows; {_SMALLER}.",
        out_of_memory=True,
    ),
    _error(
        r"Resource limit \(\d+\) exceeded",
        "The GPU holds more arrays than macOS allows; stop the worker and run it again.",
    ),
    _error(
        r"metallib|Unable to (build|load) (the )?(metal )?(library|kernel)|Unable to load kernel",
        "MLX's GPU code does not fit this macOS or this chip; update macOS, and reinstall with `pip install -U mlx`.",
    ),
    _error(
        r"cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY|out of memory|[Uu]nable to allocate|bad_alloc|MemoryError"
        r"|Cannot allocate memory",
        f"There is not enough memory; {_SMALLER}.",
        out_of_memory=True,
    ),
    _error(
        r"CUDA driver version is insufficient|cudaErrorInsufficientDriver|no CUDA-capable device",
        "MLX's CUDA backend can't use this machine's GPU; update the NVIDIA driver, or install without the `cuda` "
        "extra.",
    ),
)


def explain(text: str) -> GpuError | None:
    """The failure that an exception's or a dead process's last words speak of; None if they speak of no known one."""
    return next((error for error in GPU_ERRORS if error.pattern.search(text)), None)


def sentence_for(text: str, otherwise: str) -> str:
    """What a user is told of such words: the known failure's sentence, else the other one."""
    known = explain(text)
    return known.sentence if known else otherwise
