"""Single files that are damaged, or of formats that are not read: each is refused in one sentence, and soon."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from flux2.checkpoint.networks import TRANSFORMER, NetworkSource
from flux2.errors import Flux2Error
from flux2.store.resolved import resolve_model
from tests.unit.single_files import RECORDINGS, bfl_transformer, comfy_quant, plain, save_gguf, save_typed, tensors_of

DISTILLED = RECORDINGS / "distilled" / "checkpoint"
LAYER = "single_blocks.0.linear1"
ROWS, INPUTS = 576, 64
QKV = "double_blocks.0.img_attn.qkv.weight"

Typed = tuple[str, npt.NDArray[Any]]


def bytes_(*shape: int) -> npt.NDArray[np.uint8]:
    return np.zeros(shape, np.uint8)


def layer(weight: Typed, **beside: Typed) -> dict[str, Typed]:
    """The tensors of one layer."""
    return {f"{LAYER}.weight": weight} | {f"{LAYER}.{end}": value for end, value in beside.items()}


FP8, INT8, SCALE = ("F8_E4M3", bytes_(ROWS, INPUTS)), ("I8", bytes_(ROWS, INPUTS)), ("F32", np.array(1, np.float32))
PER_ROW = ("F32", np.ones((ROWS, 1), np.float32))
HALVES = ("F16", np.zeros((ROWS, 2), np.uint16))
ROTATED = comfy_quant(format="int8_tensorwise", convrot=True, convrot_groupsize=64)
REFUSED: dict[str, tuple[dict[str, Typed], str]] = {
    "nvfp4": (
        layer(("U8", bytes_(ROWS, INPUTS // 2)), weight_scale=("F8_E4M3", bytes_(ROWS, 4)), weight_scale_2=SCALE),
        "are quantized to NVFP4, which is not read here; use the model's own bfloat16",
    ),
    "nvfp4 by its marker": (
        layer(("U8", bytes_(ROWS, INPUTS // 2)), comfy_quant=comfy_quant(format="nvfp4")),
        "is kept as nvfp4 of ComfyUI's, which is not read here",
    ),
    "mxfp8": (
        layer(FP8, weight_scale=("F8_E8M0", bytes_(ROWS, 2))),
        r"weight_scale is F8_E8M0 \[576, 2\]",
    ),
    "int8 that is rotated": (
        layer(INT8, weight_scale=PER_ROW, comfy_quant=ROTATED),
        "is kept as int8_tensorwise with ConvRot of ComfyUI's",
    ),
    "int8 in blocks": (
        layer(INT8, weight_scale=PER_ROW, comfy_quant=comfy_quant(format="int8_blockwise")),
        "is kept as int8_blockwise of ComfyUI's",
    ),
    "int8 without a scale": (layer(INT8), "weight is I8; use a bfloat16, float16 or float32"),
    "another type than is said": (
        layer(INT8, comfy_quant=comfy_quant(format="float8_e4m3fn")),
        "kept as float8_e4m3",
    ),
    "a marker that is no JSON": (layer(FP8, comfy_quant=("U8", bytes_(3))), "comfy_quant is no JSON"),
    "a marker that is a list": (
        layer(FP8, comfy_quant=("U8", np.frombuffer(b"[1]", np.uint8))),
        "comfy_quant is no JSON object; download the file again",
    ),
    "bitsandbytes": (layer(("U8", bytes_(9, 1)), **{"weight.nested_absmax": SCALE}), "are quantized by bitsandbytes"),
    "Nunchaku": (layer(FP8, wscales=SCALE), "are quantized by Nunchaku"),
    "SDNQ": (layer(("U8", bytes_(ROWS, INPUTS)), scale=PER_ROW), "are quantized by SDNQ"),
    "GPTQ": (layer(("I32", np.zeros((2, 2), np.int32)), qzeros=SCALE), "are quantized by GPTQ or AWQ"),
    "MLX in other groups": (
        layer(("U32", np.zeros((ROWS, 9), np.uint32)), scales=HALVES, biases=HALVES),
        "no affine quantization in groups of 64",
    ),
    "MLX without offsets": (layer(("U32", np.zeros((ROWS, 8), np.uint32)), scales=("U8", bytes_(ROWS, 2))), "by MLX"),
    "rows that are no thirds": (
        {QKV: ("BF16", np.zeros((193, 64), np.uint16))},
        r"has the shape \[193, 64\]",
    ),
    "no rows": ({QKV: ("BF16", np.zeros((0, 64), np.uint16))}, r"has the shape \[0, 64\]"),
    "a scalar": ({QKV: ("BF16", np.zeros((), np.uint16))}, r"has the shape \[\]"),
    "float64": (layer(("F64", np.zeros((ROWS, INPUTS)))), "is F64; use a bfloat16"),
    "a bias": (layer(plain_ := ("BF16", np.zeros((ROWS, INPUTS), np.uint16)), bias=plain_), "bias, which Flux2Trans"),
}


@pytest.fixture(scope="module")
def whole() -> dict[str, Typed]:
    return {name: plain(tensor) for name, tensor in bfl_transformer(tensors_of(DISTILLED)).items()}


def opened(path: Path) -> NetworkSource:
    return NetworkSource.check(resolve_model(str(path), base=str(DISTILLED)).checkpoint, TRANSFORMER)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_read_is_named(tmp_path: Path, whole: dict[str, Typed], kind: str) -> None:
    change, sentence = REFUSED[kind]
    with pytest.raises(Flux2Error, match=sentence) as caught:
        opened(save_typed(tmp_path / "any.safetensors", whole | change))
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A GGUF file."""
    path = tmp_path_factory.mktemp("gguf") / "any.gguf"
    return save_gguf(path, bfl_transformer(tensors_of(DISTILLED)), "Q8_0", lambda _: True).read_bytes()


def number(place: int, value: int, kind: str = "<Q") -> Callable[[bytes], bytes]:
    """What writes a number over some bytes."""
    return lambda data: data[:place] + (new := struct.pack(kind, value)) + data[place + len(new) :]


VOCABULARY = struct.pack("<QQQ", 0, 1, 1) + b"a" + struct.pack("<IIQ", 9, 8, 1 << 27)
DAMAGED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (lambda _: b"", "is no GGUF file; download it again"),
    "zeros": (lambda data: bytes(len(data)), "is no GGUF file"),
    "four bytes": (lambda data: data[:4], r"is cut short inside its header \(4 bytes\)"),
    "half a header": (lambda data: data[:500], "is cut short inside its header"),
    "half the data": (lambda data: data[:-5000], "is cut short: .* where its header says"),
    "version 1": (number(4, 1, "<I"), "is a GGUF file of version 1, and 2 and 3 are read"),
    "big-endian": (number(4, 3, ">I"), "is a GGUF file of big-endian machines"),
    "endless tensors": (number(8, 1 << 60), "it speaks of 1,152,921,504,606,846,976 tensors"),
    "endless facts": (number(16, 1 << 60), "1,152,921,504,606,846,976 facts"),
    "an endless vocabulary": (lambda data: data[:8] + VOCABULARY + bytes(999), "is cut short inside its header"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_gguf_file(tmp_path: Path, sound: bytes, kind: str) -> None:
    change, sentence = DAMAGED[kind]
    path = tmp_path / "any.gguf"
    path.write_bytes(change(sound))
    with pytest.raises(Flux2Error, match=sentence):
        opened(path)


def test_any_byte_of_a_header_may_be_another(tmp_path: Path, sound: bytes) -> None:
    """It is refused in a sentence, or the file is still one."""
    chance, path = random.Random(0), tmp_path / "any.gguf"
    for _ in range(60):
        data = bytearray(sound)
        data[chance.randrange(3000)] = chance.randrange(256)
        path.write_bytes(data)
        try:
            opened(path)
        except Flux2Error as error:
            assert "\n" not in str(error)
