"""The transformer without the transformer in memory: in every step its blocks are read again, one ahead of the work.

It gives the same numbers as the whole network. What the steps have in common is computed from weights that are read
once, before the first step, and let go. A run's passes share each reading of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, repeat

from flux2.architecture.transformer import CONDITIONING_PARTS, part_of
from flux2.backend.mlx import mx, nn
from flux2.checkpoint.loading import WeightSource, install
from flux2.checkpoint.networks import NetworkSource
from flux2.checkpoint.safetensors_file import read_tensor
from flux2.checkpoint.stored import StoredTensor
from flux2.checkpoint.streaming import ReadAhead, reading_ahead
from flux2.lora.branches import Branch, Branches, applied, find_at
from flux2.models.transformer import Flux2Transformer2DModel


@contextmanager
def streamed_transformer(
    source: NetworkSource,
    weights: WeightSource,
    dtype: mx.Dtype,
    steps: int,
    while_waiting: Callable[[], None] = lambda: None,
    on_bytes: Callable[[int], None] = lambda _: None,
    branches: Branches | None = None,
) -> Iterator[StreamedTransformer]:
    """A transformer for one run: `condition` once, then so many steps; after the context nothing is read or held.

    Args:
        weights: the checkpoint's, or files made of it.
        steps: that will follow; the blocks of the first are read while the network is conditioned, and those of each
            next one from the end of the one before.
        while_waiting: called often while the disk is waited for; may raise to give up.
        on_bytes: told how much of `StreamedTransformer.first_bytes` has come.
        branches: of LoRAs, which stay in memory; each is beside its matrix while that is there.

    Raises:
        CheckpointError: here or from the network, if a file can't be read to the end.
    """
    network: Flux2Transformer2DModel = source.build()
    step = network.step_parts()
    parts = _by_part(weights, {*CONDITIONING_PARTS, *step})
    for info in parts.pop(""):  # what every step needs and is small: the projections from and to latents
        install(network, weights, info, [read_tensor(stored) for stored in weights.stored(info)], dtype)
    adapted = _branches_by_part(branches or {}, parts)
    order = chain(CONDITIONING_PARTS, chain.from_iterable(repeat(step, steps)))
    groups = ([stored for info in parts[part] for stored in weights.stored(info)] for part in order)
    with applied(network, adapted[""]), reading_ahead(groups, while_waiting) as ahead:
        streamed = StreamedTransformer(network, weights, parts, adapted, ahead, dtype, on_bytes)
        network.weights_of = streamed.weights_of
        yield streamed


@dataclass(slots=True)
class StreamedTransformer:
    """Brings the weights of each part of its network when they are asked for."""

    network: Flux2Transformer2DModel
    _weights: WeightSource
    _parts: dict[str, list[StoredTensor]]
    _branches: dict[str, Branches]
    """Branches by the path of the part that they belong to."""
    _ahead: ReadAhead
    _dtype: mx.Dtype
    _on_bytes: Callable[[int], None]

    @property
    def waited(self) -> float:
        """Seconds that the network has waited for the disk so far."""
        return self._ahead.waited

    @contextmanager
    def weights_of(self, path: str) -> Iterator[None]:
        """See `flux2.models.transformer.WeightsOf`; the paths come in the order in which the parts are read."""
        tensors = self._ahead.take()
        if path in CONDITIONING_PARTS:
            self._on_bytes(sum(tensor.nbytes for tensor in tensors))
        for info in self._parts[path]:
            count = len(self._weights.stored(info))
            stored, tensors[:count] = tensors[:count], []
            install(self.network, self._weights, info, stored, self._dtype)
        with applied(self.network, self._branches[path]):
            yield
        _empty(find_at(self.network, path))


def first_bytes(weights: WeightSource) -> int:
    """What is read before the first step."""
    parts = _by_part(weights, set(CONDITIONING_PARTS))
    return sum(stored.nbytes for part in CONDITIONING_PARTS for info in parts[part] for stored in weights.stored(info))


def _by_part(weights: WeightSource, paths: set[str]) -> dict[str, list[StoredTensor]]:
    """The weights of each of these parts, in the order of the plan; under "" what belongs to none."""
    parts: dict[str, list[StoredTensor]] = {path: [] for path in ("", *paths)}
    for info in weights.plan.tensors:
        parts[part_of(info.name, paths)].append(info)
    return parts


def _branches_by_part(branches: Branches, parts: Collection[str]) -> dict[str, Branches]:
    """The branches of each part; under "" those of matrices that are always there."""
    found: dict[str, dict[str, Sequence[tuple[float, Branch]]]] = {part: {} for part in ("", *parts)}
    for path, some in branches.items():
        found[part_of(f"{path}.weight", parts)][path] = some
    return {part: dict(some) for part, some in found.items()}


def _empty(part: nn.Module) -> None:
    """Let go of all its arrays."""
    for _, module in part.named_modules():
        for name in [name for name, value in module.items() if isinstance(value, mx.array)]:
            del module[name]
