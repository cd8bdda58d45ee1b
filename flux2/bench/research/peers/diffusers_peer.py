"""diffusers' step and decode on PyTorch, eager, as its pipeline runs them."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import numpy.typing as npt

from flux2.architecture.shapes import Shapes
from flux2.backend.mlx import mx, on_cpu
from flux2.bench.recording import UnavailableError
from flux2.bench.research.peers.contender import SIGMA, Contender, Work
from flux2.bench.research.peers.random_weights import normal, random_weights
from flux2.models.rope import image_positions, text_positions


class TorchMeter:
    """PyTorch's own count; on the CPU it has none."""

    def reset(self) -> None:
        import torch

        if not on_cpu():
            torch.cuda.reset_peak_memory_stats()

    def held(self) -> int:
        import torch

        return 0 if on_cpu() else int(torch.cuda.memory_allocated())

    def peak(self) -> int | None:
        import torch

        return None if on_cpu() else int(torch.cuda.max_memory_allocated())


def step(work: Work) -> Contender:
    """One pass of `Flux2Transformer2DModel`.

    Raises:
        UnavailableError: if PyTorch or diffusers is not installed, or PyTorch sees no GPU where MLX has one.
    """
    torch = _torch()
    from diffusers import Flux2Transformer2DModel, __version__

    network = _load(torch, Flux2Transformer2DModel, "transformer", work)
    arguments = {
        "hidden_states": _tensor(torch, work.latents(), work.dtype),
        "encoder_hidden_states": _tensor(torch, work.embeddings(), work.dtype),
        "timestep": _tensor(torch, np.array([SIGMA], np.float32), work.dtype),
        "img_ids": _ids(torch, image_positions(*work.grid)),
        "txt_ids": _ids(torch, text_positions(work.text_tokens)),
        "guidance": None,
        "return_dict": False,
    }
    if work.guidance is not None:
        arguments["guidance"] = _tensor(torch, np.array([work.guidance], np.float32), "float32")

    def run() -> Any:
        with torch.inference_mode():
            (velocity,) = network(**arguments)
        _finish(torch)
        return velocity

    return Contender("diffusers", f"{__version__}, PyTorch {torch.__version__}", run, _as_numpy, TorchMeter())


def decode(work: Work) -> Contender:
    """One decode by `AutoencoderKLFlux2`, from normalised latents.

    Raises:
        UnavailableError: as `step`.
    """
    torch = _torch()
    from diffusers import AutoencoderKLFlux2, __version__

    vae = _load(torch, AutoencoderKLFlux2, "vae", work)
    rows, columns = work.grid
    patches = normal("clean", (1, rows, columns, work.architecture.transformer["in_channels"]))
    latents = _tensor(torch, patches, work.dtype).permute(0, 3, 1, 2)
    mean = vae.bn.running_mean.view(1, -1, 1, 1)
    deviation = torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps)

    def run() -> Any:
        with torch.inference_mode():
            channels = (latents * deviation + mean).reshape(1, -1, 2, 2, rows, columns)
            unpatched = channels.permute(0, 1, 4, 2, 5, 3).reshape(1, -1, 2 * rows, 2 * columns)
            picture = vae.decode(unpatched, return_dict=False)[0].permute(0, 2, 3, 1)
        _finish(torch)
        return picture

    return Contender("diffusers", f"{__version__}, PyTorch {torch.__version__}", run, _as_numpy, TorchMeter())


def _torch() -> Any:
    for package in ("torch", "diffusers"):
        if importlib.util.find_spec(package) is None:
            raise UnavailableError(f"{package} is not installed")
    import torch

    if not on_cpu() and not torch.cuda.is_available():
        raise UnavailableError("PyTorch sees no GPU")
    return torch


def _device() -> str:
    return "cpu" if on_cpu() else "cuda"


def _finish(torch: Any) -> None:
    if not on_cpu():
        torch.cuda.synchronize()


def _load(torch: Any, network_class: Any, part: str, work: Work) -> Any:
    with torch.device("meta"):
        network = network_class.from_config(getattr(work.architecture, part))
    for name, weight in random_weights(_tensors(work.architecture.shapes()[part])):
        owner = network.get_submodule(name.rpartition(".")[0])
        tensor = _from_mlx(torch, weight).to(_device(), getattr(torch, work.dtype), copy=True)
        _finish(torch)
        leaf = name.rpartition(".")[2]
        if leaf in owner._buffers:
            owner._buffers[leaf] = tensor
        else:
            owner._parameters[leaf] = torch.nn.Parameter(tensor, requires_grad=False)
        del weight
        mx.clear_cache()
    for module in network.modules():  # what is in no file, such as a batch count
        for leaf, buffer in module._buffers.items():
            if buffer is not None and buffer.is_meta:
                module._buffers[leaf] = torch.zeros_like(buffer, device=_device())
    return network.eval()


class _OnGpu:
    """An array in managed memory as PyTorch takes it from others (numba's CUDA array interface)."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.array = array
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (array.ctypes.data, False),
            "version": 3,
        }


def _tensors(shapes: Shapes) -> Shapes:
    return {name: shape for name, shape in shapes.items() if shape}


def _from_mlx(torch: Any, weight: mx.array) -> Any:
    """A tensor in MLX's own memory, bfloat16 bit by bit, as NumPy has no such type.

    On CUDA MLX exports by DLPack as if to the CPU. What it shows NumPy is managed memory, to which the GPU has the same
    address: copied there, 1 GiB takes 2 ms instead of half a second.
    """
    bits = np.asarray(weight.view(mx.uint16))
    shown = torch.from_numpy(bits) if on_cpu() else torch.as_tensor(_OnGpu(bits), device=_device())
    return shown.view(torch.bfloat16)


def _tensor(torch: Any, values: npt.NDArray[Any], dtype: str) -> Any:
    return torch.from_numpy(values).to(_device(), getattr(torch, dtype))


def _ids(torch: Any, positions: npt.NDArray[Any]) -> Any:
    return torch.from_numpy(np.ascontiguousarray(positions)).to(_device())[None]


def _as_numpy(tensor: Any) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = tensor.float().cpu().numpy()
    return array
