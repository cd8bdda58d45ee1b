"""mflux's step and decode on MLX, as shipped and compiled, in bf16 and quantized."""

# MLX brings no types:
# mypy: no-warn-return-any

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from typing import Any

from mlx.utils import tree_flatten

from flux2.architecture.shapes import Shapes
from flux2.backend.mlx import DTYPES, mx, nn
from flux2.bench.recording import UnavailableError
from flux2.bench.research.peers.contender import SIGMA, Contender, Work
from flux2.bench.research.peers.ours import METER, as_numpy
from flux2.bench.research.peers.random_weights import normal, random_weights
from flux2.models.rope import image_positions, text_positions
from flux2.quantization.linear import MODES

_RENAMED = ((".timestep_embedder.", "."), (".to_out.0.", ".to_out."))
"""What a checkpoint calls a tensor, and what mflux does."""


def steps(work: Work, quantization: str) -> list[Contender]:
    """One pass of `Flux2Transformer`, eager (as its pipeline runs it on an M1 or M2) and compiled (everywhere else).

    Raises:
        UnavailableError: if mflux is not installed, or does not have the model.
    """
    _check(work)
    from mflux.models.flux2.model.flux2_transformer.transformer import Flux2Transformer

    config = {
        name: value for name, value in work.architecture.transformer.items() if name not in ("_class_name", "eps")
    }
    network = Flux2Transformer(**config)
    _load(network, work.architecture.shapes()["transformer"], work.dtype, quantization)
    dtype = DTYPES[work.dtype]
    arguments = {
        "hidden_states": mx.array(work.latents()).astype(dtype),
        "encoder_hidden_states": mx.array(work.embeddings()).astype(dtype),
        "timestep": mx.array(SIGMA).astype(dtype),
        "img_ids": mx.array(image_positions(*work.grid)),
        "txt_ids": mx.array(text_positions(work.text_tokens)),
    }
    mx.eval(arguments)

    def runner(predict: Any) -> Any:
        def run() -> mx.array:
            velocity = predict(**arguments)
            mx.eval(velocity)
            return velocity

        return run

    bits = MODES[quantization]
    name = f"mflux {bits.bits}-bit" if bits else "mflux bf16"
    # As its pipeline does: a closure over the network, whose weights are constants of the compiled graph.
    compiled = mx.compile(lambda **inputs: network(**inputs))
    return [
        Contender(name, version("mflux"), runner(network), as_numpy, METER),
        Contender(f"{name} compiled", version("mflux"), runner(compiled), as_numpy, METER),
    ]


def decodes(work: Work) -> list[Contender]:
    """One decode by `Flux2VAE`: in strips, as its pipeline has it, and the whole picture in one graph.

    Raises:
        UnavailableError: as `steps`.
    """
    _check(work)
    from mflux.models.flux2.model.flux2_vae.vae import Flux2VAE

    if work.divisor != 1:
        raise UnavailableError("mflux's autoencoder has one size")
    vae = Flux2VAE()
    _load(vae, work.architecture.shapes()["vae"], work.dtype, "bf16")
    rows, columns = work.grid
    patches = normal("clean", (1, rows, columns, work.architecture.transformer["in_channels"]))
    latents = mx.array(patches).astype(DTYPES[work.dtype]).transpose(0, 3, 1, 2)
    mx.eval(latents)

    def runner(mode: str) -> Any:
        def run() -> mx.array:
            vae.decode_mode = mode
            picture = vae.decode_packed_latents(latents)
            mx.eval(picture)
            return picture

        return run

    return [
        Contender("mflux in strips", version("mflux"), runner(Flux2VAE.DECODE_LOW_MEMORY), _picture, METER),
        Contender("mflux whole", version("mflux"), runner(Flux2VAE.DECODE_LEGACY), _picture, METER),
    ]


def _check(work: Work) -> None:
    if importlib.util.find_spec("mflux") is None:
        raise UnavailableError("mflux is not installed")
    if work.guidance is not None:
        raise UnavailableError(f"mflux does not have {work.model}")
    from mflux.models.common.config.model_config import ModelConfig

    ModelConfig.precision = DTYPES[work.dtype]


def _load(network: Any, shapes: Shapes, dtype: str, quantization: str) -> None:
    """Its parameters under its names, then quantized by `mlx.nn` as mflux does, with every layer that can be."""
    known = {name for name, _ in tree_flatten(network.parameters())}
    for name, weight in random_weights({name: shape for name, shape in shapes.items() if shape}):
        for theirs, its in _RENAMED:
            name = name.replace(theirs, its)
        if name not in known:
            raise UnavailableError(f"mflux has no tensor {name}; its version {version('mflux')} is not known here")
        weight = weight.transpose(0, 2, 3, 1) if weight.ndim == 4 else weight
        weight = weight.astype(DTYPES[dtype])
        mx.eval(weight)
        network.load_weights([(name, weight)], strict=False)
        mx.clear_cache()
    if mode := MODES[quantization]:
        nn.quantize(
            network, mode.group_size, mode.bits, class_predicate=lambda _, module: hasattr(module, "to_quantized")
        )
        mx.eval(network.parameters())
    mx.clear_cache()


def _picture(array: mx.array) -> Any:
    """Picture of [1, channels, 1, height, width] with its channels last, as every contender gives it."""
    return as_numpy(array.squeeze().transpose(1, 2, 0)[None])
