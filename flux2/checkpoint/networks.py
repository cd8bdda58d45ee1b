"""The networks of a checkpoint: which class each part is, checked against its tensors, loaded when its phase comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flux2.architecture.autoencoder import AutoencoderConfig
from flux2.architecture.parts_fit import check_parts_fit
from flux2.architecture.text_encoder import TextEncoder, find_text_encoder
from flux2.architecture.transformer import Flux2TransformerConfig
from flux2.backend.mlx import mx, nn
from flux2.checkpoint.layout import Checkpoint, Component
from flux2.checkpoint.loading import LinearQuantizer, OnBytes, WeightPlan, load_weights, plan_weights
from flux2.models.autoencoder import AutoencoderKLFlux2
from flux2.models.language_model import LanguageModel
from flux2.models.transformer import Flux2Transformer2DModel


@dataclass(frozen=True, slots=True)
class NetworkKind:
    """How one kind of network is built, and what its files may hold beyond it."""

    folder: str
    read_config: Callable[[Mapping[str, Any], str], Any]
    network: Callable[[Any], nn.Module]
    unused: str = ""
    """A regular expression of names of tensors that are never read."""
    dropped: tuple[str, ...] = ()
    """Children of the network that this use of it does not need."""
    renamed: tuple[tuple[str, str], ...] = ()
    """(prefix in the files, prefix of the same tensors in the network), the first that fits."""


TRANSFORMER = NetworkKind("transformer", Flux2TransformerConfig.from_dict, Flux2Transformer2DModel)
VAE_DECODER = NetworkKind(
    "vae",
    AutoencoderConfig.from_dict,
    AutoencoderKLFlux2,
    unused=r"bn\.num_batches_tracked|encoder\..*|quant_conv\..*",
    dropped=("encoder", "quant_conv"),
)
VAE_ENCODER = NetworkKind(
    "vae",
    AutoencoderConfig.from_dict,
    AutoencoderKLFlux2,
    unused=r"bn\.num_batches_tracked|decoder\..*|post_quant_conv\..*",
    dropped=("decoder", "post_quant_conv"),
)


def text_encoder_kind(row: TextEncoder) -> NetworkKind:
    """How a text encoder is built, whichever it is."""
    return NetworkKind("text_encoder", row.read_config, LanguageModel, unused=row.unused, renamed=row.renamed)


@dataclass(frozen=True, slots=True)
class NetworkSource:
    """A network that is known to fit its files and can be loaded any number of times."""

    kind: NetworkKind
    component: Component
    config: Any
    plan: WeightPlan

    @classmethod
    def check(cls, checkpoint: Checkpoint, kind: NetworkKind) -> NetworkSource:
        """Build the network without weights and match it with the tensors in the files.

        Raises:
            CheckpointError: one sentence naming the file, the value and the remedy.
        """
        component: Component = getattr(checkpoint, kind.folder)
        config = kind.read_config(component.config, str(component.config_path))
        return cls(kind, component, config, plan_weights(_build(kind, config), component, kind.unused, kind.renamed))

    @classmethod
    def check_text_encoder(cls, checkpoint: Checkpoint) -> NetworkSource:
        """The text encoder, whichever it is, matched with its files; see `check`."""
        component = checkpoint.text_encoder
        row = find_text_encoder(component.config, str(component.config_path))
        return cls.check(checkpoint, text_encoder_kind(row))

    def build(self) -> Any:
        """A new network that still has no weights."""
        return _build(self.kind, self.config)

    def load(
        self, dtype: mx.Dtype, quantization: LinearQuantizer | None = None, on_bytes: OnBytes | None = None
    ) -> Any:
        """A new network with its weights.

        Raises:
            CheckpointError: if a file can't be read to the end.
        """
        network = self.build()
        load_weights(network, self.plan, dtype=dtype, quantization=quantization, on_bytes=on_bytes)
        return network


def check_fit(*sources: NetworkSource) -> None:
    """Refuse a transformer, text encoder and autoencoder, in this order, that were not made for each other.

    Raises:
        CheckpointError: one sentence naming the config, the value and what contradicts it.
    """
    configs = {source.kind.folder: source.component.config_path for source in sources}
    transformer, text_encoder, vae = (source.config for source in sources)
    check_parts_fit(transformer, text_encoder, vae, configs)


def _build(kind: NetworkKind, config: Any) -> nn.Module:
    network = kind.network(config)
    # Its layers have drawn random weights that nobody looks at, and each draw left MLX's random state as one more
    # operation that waits for the one before: half a megabyte per network that would never be freed.
    mx.eval(mx.random.state)
    for name in kind.dropped:
        network.pop(name, None)
    return network
