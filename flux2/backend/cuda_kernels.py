"""Two CUDA kernels of our own, where MLX's operations leave much of the memory's speed unused.

On Apple's GPUs a step is arithmetic almost alone, and MLX's own operations do. On an H200 what surrounds the matrix
products takes a fifth of it. Measured there with MLX 0.32.4, in bfloat16: writing out a quantized weight of
27,648×3,072 took 0.31 ms at 8 bits and 0.19 at 4, and takes 0.10 and 0.08; to normalise and turn the queries of 4,608
tokens of 24 heads took 0.17 ms, and takes 0.06. They lose less to rounding, too: all is float32 until the end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import cast

from flux2.architecture.limits import GROUP
from flux2.backend.mlx import mx

_THREADS = 256  # of a block
_WARP = 32
_EACH = {4: 8, 5: 32, 6: 16, 8: 16}
"""Codes that a thread takes, by their bits: of 4 and 8 bits as many as were measured to be the fastest, of 5 and 6 so
many that they end with a word."""

_DEQUANTIZE = """
    constexpr unsigned each = EACH, group = GROUP, mask = (1u << BITS) - 1, words = each * BITS / 32;
    struct alignas(words & (words - 1) ? 4 : 4 * words) Codes { unsigned word[words]; };
    struct alignas(16) Numbers { T number[each]; };
    const size_t i = cooperative_groups::this_grid().thread_rank();
    if (i < size_t(scales_shape[0]) * scales_shape[1] * (group / each)) {
        const float scale = static_cast<float>(scales[i * each / group]);
        const float bias = static_cast<float>(biases[i * each / group]);
        const Codes read = reinterpret_cast<const Codes*>(codes)[i];
        Numbers made;
        #pragma unroll
        for (unsigned k = 0; k < each; ++k) {
            const unsigned first = k * BITS / 32, last = (k * BITS + BITS - 1) / 32;
            const unsigned code = __funnelshift_r(read.word[first], read.word[last], k * BITS % 32) & mask;
            made.number[k] = static_cast<T>(static_cast<float>(code) * scale + bias);
        }
        reinterpret_cast<Numbers*>(numbers)[i] = made;
    }
"""

# A warp per head of a token: each of its threads holds some pairs, and all of them sum the squares together.
_NORMALISE_AND_TURN = """
    constexpr int each = HEAD / 32;
    struct alignas(each * sizeof(T)) Features { T feature[each]; };
    const size_t thread = cooperative_groups::this_grid().thread_rank();
    const size_t row = thread / 32;
    const int first = (thread % 32) * each;
    const size_t heads = x_shape[2], tokens = x_shape[1];
    if (row < heads * tokens * x_shape[0]) {
        const size_t token = row / heads % tokens;
        const size_t begin = row / heads / tokens * x_strides[0] + token * x_strides[1] + row % heads * x_strides[2];
        Features features = *reinterpret_cast<const Features*>(x + begin + first);
        float value[each], squares = 0;
        #pragma unroll
        for (int k = 0; k < each; ++k) {
            value[k] = static_cast<float>(features.feature[k]);
            squares += value[k] * value[k];
        }
        #pragma unroll
        for (int far = 16; far; far /= 2) squares += __shfl_xor_sync(0xffffffff, squares, far);
        const float inverse = rsqrtf(squares / HEAD + eps[0]);
        #pragma unroll
        for (int k = 0; k < each; ++k) value[k] *= inverse * static_cast<float>(weight[first + k]);
        #pragma unroll
        for (int k = 0; k < each; ++k) {
            const size_t turn = token * HEAD + first + k;
            features.feature[k] = static_cast<T>(value[k] * cosines[turn] + value[k ^ 1] * sines[turn]);
        }
        *reinterpret_cast<Features*>(turned + row * HEAD + first) = features;
    }
"""


def dequantize(codes: mx.array, scales: mx.array, biases: mx.array, bits: int) -> mx.array:
    """What `mx.dequantize` gives for groups of 64 of 4, 5, 6 or 8 bits: [outputs, inputs] in the scales' type."""
    outputs, inputs = codes.shape[0], codes.shape[1] * 32 // bits
    (numbers,) = _dequantize()(
        inputs=[codes, scales, biases],
        template=[("T", scales.dtype), ("BITS", bits), ("GROUP", GROUP), ("EACH", _EACH[bits])],
        grid=(outputs * inputs // _EACH[bits], 1, 1),
        threadgroup=(_THREADS, 1, 1),
        output_shapes=[(outputs, inputs)],
        output_dtypes=[scales.dtype],
    )
    return numbers


def can_normalise_and_turn(x: mx.array) -> bool:
    """Whether its heads can be shared out among a warp's threads, a pair at a time, and its features are neighbours."""
    return x.shape[-1] % (2 * _WARP) == 0


def normalise_and_turn(x: mx.array, weight: mx.array, eps: float, cosines: mx.array, sines: mx.array) -> mx.array:
    """RMS norm, then rotation, of x [batch, tokens, heads, head_dim], in float32; x may be a slice of its features.

    Args:
        weight: of the norm, [head_dim].
        cosines, sines: `flux2.models.rope.PairRotation`'s, float32 with tokens · head_dim numbers.
    """
    (turned,) = _normalise_and_turn()(
        inputs=[x, weight, _constant(eps), cosines, sines],
        template=[("T", x.dtype), ("HEAD", x.shape[-1])],
        grid=(x.size // x.shape[-1] * _WARP, 1, 1),
        threadgroup=(_THREADS, 1, 1),
        output_shapes=[x.shape],
        output_dtypes=[x.dtype],
    )
    return turned


@cache
def _constant(value: float) -> mx.array:
    return mx.array([value])


_Kernel = Callable[..., list[mx.array]]


@cache
def _dequantize() -> _Kernel:
    return _compiled("flux2_dequantize", ["codes", "scales", "biases"], "numbers", _DEQUANTIZE)


@cache
def _normalise_and_turn() -> _Kernel:
    inputs = ["x", "weight", "eps", "cosines", "sines"]
    return _compiled("flux2_normalise_and_turn", inputs, "turned", _NORMALISE_AND_TURN, ensure_row_contiguous=False)


def _compiled(name: str, inputs: list[str], output: str, source: str, *, ensure_row_contiguous: bool = True) -> _Kernel:
    """To be compiled at its first use, once per machine."""
    kernel = mx.fast.cuda_kernel(
        name=name,
        input_names=inputs,
        output_names=[output],
        source=source,
        ensure_row_contiguous=ensure_row_contiguous,
    )
    return cast(_Kernel, kernel)
