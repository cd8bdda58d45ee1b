"""The transformer as a run finds it: kept from the last run, loaded now, or streamed through in every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from flux2.architecture.transformer import CONDITIONING_PARTS, multiplied_parts
from flux2.backend import memory
from flux2.backend.mlx import mx
from flux2.checkpoint.loading import CheckpointWeights, WeightPlan, layer_of, read_into
from flux2.checkpoint.networks import NetworkSource
from flux2.denoise.steps import DenoisingPlan, condition
from flux2.denoise.streamed_transformer import first_bytes, streamed_transformer
from flux2.errors import CheckpointError
from flux2.lora.branches import applied
from flux2.models.evaluation import Evaluate, head_start
from flux2.models.reference_cache import ReferenceCache
from flux2.models.transformer import Conditioning, Flux2Transformer2DModel
from flux2.quantization.from_disk import Prequantized, cause, find_prequantized
from flux2.quantization.linear import Quantization
from flux2.quantization.matmul_choice import Multiplication, choose
from flux2.reporting import RunReport


class ReadyTransformer(NamedTuple):
    """A transformer for one run."""

    network: Flux2Transformer2DModel
    conditioning: Conditioning | None = None
    """What the run's steps have in common; None where it is still to be computed."""
    evaluate: Evaluate = mx.eval
    """What evaluates its steps; weights that come and go need it to be done with each part."""
    waited: Callable[[], float] = lambda: 0.0
    """Seconds that it has waited for the disk so far."""


@dataclass(slots=True)
class TransformerLoader:
    """Gets a checkpoint's transformer ready for each run, and keeps it where it is resident."""

    source: NetworkSource
    mode: Quantization | None
    dtype: mx.Dtype
    streamed: bool = False
    network: Flux2Transformer2DModel | None = None
    """The one that is kept."""
    _references: tuple[object, ReferenceCache] | None = None
    """What is kept of references that are cached, and what it depends on."""

    @property
    def is_loaded(self) -> bool:
        """Whether a run needs no phase "load"."""
        return self.network is not None

    @contextmanager
    def ready(self, plan: DenoisingPlan, report: RunReport) -> Iterator[ReadyTransformer]:
        """The transformer for this run; what it takes to get it is the phase "load".

        Raises:
            CheckpointError: if a file can't be read to its end; of a streamed one, also by its steps.
            GenerationCancelled: if the run was cancelled.
        """
        if self.mode:
            text_tokens = plan.embeddings.shape[1]
            choose_multiplications(self.source.plan, self.mode, self.dtype, text_tokens, plan.image_tokens)
        if not self.streamed:
            network = self.load(report)
            with applied(network, plan.branches), memory.wired():
                yield ReadyTransformer(network, evaluate=head_start())
            return
        with ExitStack() as stack:
            with report.phase("load"):
                weights = self._prequantized(report) or CheckpointWeights(self.source.plan, self.mode)
                read = report.progress("load", first_bytes(weights), "bytes")
                steps = plan.steps - plan.first_step
                streamed = stack.enter_context(
                    streamed_transformer(
                        self.source, weights, self.dtype, steps, report.check_cancelled, read, plan.branches
                    )
                )
                conditioning = condition(streamed.network, plan)
            yield ReadyTransformer(streamed.network, conditioning, waited=lambda: streamed.waited)

    def load(self, report: RunReport) -> Flux2Transformer2DModel:
        """The whole transformer, which is kept from now on; the phase "load" if it is not there yet.

        Raises:
            CheckpointError: if a file can't be read to its end.
            GenerationCancelled: if the run was cancelled.
        """
        if self.network is None:
            with report.phase("load"):
                self.network = self._load_prequantized(report) or self._load_checkpoint(report)
        return self.network

    def reference_cache(self, key: object) -> ReferenceCache:
        """The one that is kept for this key, or a new one that is kept from now on, in the place of any other.

        Args:
            key: all that it depends on besides the weights.
        """
        if self._references is None or self._references[0] != key:
            self._references = key, ReferenceCache()
        return self._references[1]

    def forget_references(self) -> None:
        """Let go of cached references."""
        self._references = None

    def forget(self) -> None:
        """Let go of what is kept."""
        self.network = None
        self.forget_references()

    def _load_checkpoint(self, report: RunReport) -> Flux2Transformer2DModel:
        read = report.progress("load", self.source.plan.nbytes, "bytes")
        network: Flux2Transformer2DModel = self.source.load(self.dtype, self.mode, read)
        return network

    def _load_prequantized(self, report: RunReport) -> Flux2Transformer2DModel | None:
        """The transformer from the files of `flux2 quantize`; None if there are none, or none that can be used."""
        files = self._prequantized(report)
        if files is None:
            return None
        network: Flux2Transformer2DModel = self.source.build()
        try:
            read_into(network, files, self.dtype, report.progress("load", files.nbytes, "bytes"))
        except CheckpointError as error:
            _warn_of_files(error, report)
            return None
        return network

    def _prequantized(self, report: RunReport) -> Prequantized | None:
        if self.mode is None:
            return None
        try:
            return find_prequantized(self.source, self.mode)
        except CheckpointError as error:
            _warn_of_files(error, report)
            return None


def choose_multiplications(
    weights: WeightPlan, mode: Quantization, dtype: mx.Dtype, text_tokens: int, image_tokens: int
) -> dict[Multiplication, str]:
    """Have the ways known in which steps of this size multiply fastest; takes a second the first time, at most.

    What is multiplied once a run is not worth measuring.
    """
    wanted = []
    for info in weights.tensors:
        if layer_of(info.name) in weights.linears and not info.name.startswith(CONDITIONING_PARTS):
            rows = _rows(info.name, text_tokens, image_tokens)
            parts = multiplied_parts(info.name, info.shape)
            bits = mode.of_layer(layer_of(info.name)).bits
            wanted += [Multiplication.of(bits, outputs, inputs, rows, dtype) for outputs, inputs in parts]
    return choose(wanted)


def _rows(name: str, text_tokens: int, image_tokens: int) -> int:
    """How many go through a weight at once."""
    if any(part in name for part in (".add_", "to_add_out", "ff_context")):
        return text_tokens
    return text_tokens + image_tokens if name.startswith("single_transformer_blocks") else image_tokens


def _warn_of_files(error: CheckpointError, report: RunReport) -> None:
    report.warn(f"{cause(error)}; it is quantized while loading, until `flux2 quantize` makes the file again.")
