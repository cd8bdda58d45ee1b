"""The branches that are taken where Metal computes, taken here: MLX's CPU backend is told to be an Apple chip."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from flux2.architecture import limits
from flux2.backend import cuda_kernels, memory
from flux2.backend.chip import Chip
from flux2.backend.mlx import mx
from flux2.doctor import pictures
from flux2.models import evaluation
from flux2.pictures.similarity import compare
from flux2.pipeline import Flux2Pipeline
from flux2.planning import this_machine
from flux2.quantization import linear as quantization
from flux2.quantization import matmul_choice

M4_PRO = Chip(name="Apple M4 Pro", backend="metal", memory_limit=40 << 30, generation=4)
SAYS = {"on_cpu": lambda: False, "device_type": lambda: "gpu", "on_cuda": lambda: False, "this_chip": lambda: M4_PRO}
SAME = 45.0
"""dB from the picture that the CPU's branches draw in float32: what is rounded there in another order."""


@pytest.fixture
def metal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path))
    for name, module in list(sys.modules.items()):
        if name.startswith("flux2."):
            for asked in SAYS.keys() & vars(module).keys():
                monkeypatch.setattr(module, asked, SAYS[asked])
    monkeypatch.setattr(memory, "macos_version", lambda: (15, 0))
    monkeypatch.setattr(matmul_choice, "SECONDS", 0.0)  # what is the fastest on this CPU is not what is asked
    monkeypatch.setattr(matmul_choice, "_compile", lambda _: None)
    monkeypatch.setattr(matmul_choice, "_known", {})
    monkeypatch.setattr(cuda_kernels, "_compiled", lambda *_, **__: pytest.fail("a CUDA kernel was asked for"))
    matmul_choice.candidates.cache_clear()
    mx.disable_compile()  # type: ignore[no-untyped-call]
    yield
    mx.enable_compile()  # type: ignore[no-untyped-call]
    matmul_choice.candidates.cache_clear()


@pytest.mark.usefixtures("metal")
@pytest.mark.parametrize("way", pictures.WAYS)
def test_metals_branches_draw_the_same_picture(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quantization, residency, least = pictures.WAYS[way]
    taken: list[str] = []
    wire, ahead, dequantize = mx.set_wired_limit, evaluation.HeadStart, mx.dequantize
    monkeypatch.setattr(mx, "set_wired_limit", lambda limit: taken.append(f"wired {limit >> 30}") or wire(0))
    monkeypatch.setattr(evaluation, "HeadStart", lambda: taken.append("head start") or ahead())
    monkeypatch.setattr(mx, "dequantize", lambda *a, **k: taken.append("dequantized") or dequantize(*a, **k))
    pipeline = Flux2Pipeline.from_pretrained("pocket", "float32", quantization, residency=residency)
    picture = pipeline(pictures.PROMPT, seed=pictures.SEED).images[0]
    assert compare(picture, Image.open(pictures.REFERENCE)).psnr > (SAME if quantization == "bf16" else least)
    resident = ["wired 40", "head start", "wired 0"] if residency == "resident" else []
    assert list(dict.fromkeys(taken)) == [*resident[:2], *["dequantized"] * (quantization != "bf16"), *resident[2:]]


@pytest.mark.usefixtures("metal")
def test_a_mac_computes_in_bfloat16_and_plans_for_a_gpu() -> None:
    engine = this_machine.engine()
    assert (engine.dtype, engine.device, memory.memory_limit()) == ("bfloat16", "gpu", 40 << 30)
    assert matmul_choice.candidates(8) == ["dequantized", "unpacked", "quantized"]


@pytest.mark.usefixtures("metal")
def test_bands_of_a_gpus_size_quantize_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = mx.random.normal((96, 128), key=mx.random.key(0)).astype(mx.bfloat16)
    whole = quantization.quantize(weight, quantization.Quantization("qint8", 8))
    monkeypatch.setitem(limits.QUANTIZING_NUMBERS, "gpu", 40 * 128)
    banded = quantization.quantize(weight, quantization.Quantization("qint8", 8))
    assert all(mx.array_equal(a, b) for a, b in zip(whole, banded, strict=True))


@pytest.mark.parametrize(("chosen", "found"), [(None, "0"), ("1", "1")])
def test_metal_convolves_directly_unless_the_user_says_otherwise(chosen: str | None, found: str) -> None:
    others = {name: value for name, value in os.environ.items() if name != "MLX_CONV_WINOGRAD"}
    program = "import flux2.backend.mlx, os; print(os.environ['MLX_CONV_WINOGRAD'])"
    environment = {**others, **({"MLX_CONV_WINOGRAD": chosen} if chosen else {})}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == found
