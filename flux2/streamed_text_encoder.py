"""The text encoder without the text encoder in memory: half a layer works while the next half is read.

It gives the same numbers as the whole network, in the checkpoint's own precision. The embedding table is never loaded:
the rows of the prompt's tokens are gathered from the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mlx.utils import tree_flatten, tree_unflatten

from flux2.checkpoint.loading import stored_dtype
from flux2.checkpoint.networks import NetworkSource
from flux2.checkpoint.safetensors_file import read_rows
from flux2.checkpoint.streaming import stream
from flux2.errors import CheckpointError
from flux2.mlx_backend import mx
from flux2.models.layers import AfterBlock
from flux2.models.qwen3 import HIDDEN_STATES_LAYERS, Attendable, DecoderLayer
from flux2.prompt import TokenizedPrompt

_EMBEDDINGS = "model.embed_tokens.weight"


@dataclass(slots=True)
class _Encoding:
    """One prompt on its way through the layers."""

    hidden_states: mx.array
    attendable: Attendable
    taken: list[mx.array] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Half:
    """Half a layer: its children, and what it does with them."""

    number: int
    """Of the layer, 1 for the first."""
    layer: DecoderLayer
    children: tuple[str, ...]
    run: Callable[[mx.array, Attendable], mx.array]
    ends_layer: bool = False

    def parameters(self) -> list[str]:
        """Their names within the layer."""
        return [name for name, _ in tree_flatten({child: self.layer[child].parameters() for child in self.children})]

    def bind(self, tensors: Sequence[mx.array], dtype: mx.Dtype) -> None:
        """Give the children their weights, in the order of `parameters`."""
        weights = [tensor.astype(stored_dtype(tensor, dtype)) for tensor in tensors]
        self.layer.update(tree_unflatten(list(zip(self.parameters(), weights, strict=True))))

    def release(self) -> None:
        for child in self.children:
            del self.layer[child]


def encode_streamed(
    source: NetworkSource, prompts: Sequence[TokenizedPrompt], dtype: mx.Dtype, after_layer: AfterBlock = mx.eval
) -> list[mx.array]:
    """The embeddings of each prompt, [1, tokens, joint_attention_dim], all in one pass over the file.

    Args:
        after_layer: called with each prompt's hidden states after each layer; may raise to stop.

    Raises:
        CheckpointError: if a file can't be read to the end, or the tokenizer is not the text encoder's.
    """
    network = source.build()
    tensors = {info.name: info for info in source.plan.tensors}
    table = tensors[_EMBEDDINGS]
    last_token = max(int(prompt.input_ids.max()) for prompt in prompts)
    if last_token >= table.shape[0]:
        raise CheckpointError(
            f"{table.path}: the tokenizer gives token {last_token}, but embeddings are there for {table.shape[0]}; "
            "tokenizer and text encoder are of different checkpoints, so download this one again."
        )
    encodings = [
        _Encoding(read_rows(table, prompt.input_ids).astype(dtype), network.attendable(mx.array(prompt.attention_mask)))
        for prompt in prompts
    ]
    halves = [half for number, layer in enumerate(network.layers, start=1) for half in _halves(number, layer)]

    def use(index: int, weights: list[mx.array]) -> None:
        half = halves[index]
        half.bind(weights, dtype)
        for encoding in encodings:
            encoding.hidden_states = half.run(encoding.hidden_states, encoding.attendable)
            mx.eval(encoding.hidden_states)
            if half.ends_layer:
                after_layer(encoding.hidden_states)
                if half.number in HIDDEN_STATES_LAYERS:
                    encoding.taken.append(encoding.hidden_states)
        half.release()

    stream([[tensors[f"model.layers.{half.number - 1}.{name}"] for name in half.parameters()] for half in halves], use)
    embeddings = [mx.concatenate(encoding.taken, axis=-1) for encoding in encodings]
    mx.eval(embeddings)
    return embeddings


def _halves(number: int, layer: DecoderLayer) -> tuple[_Half, _Half]:
    return (
        _Half(number, layer, ("input_layernorm", "self_attn"), layer.attend),
        _Half(
            number,
            layer,
            ("post_attention_layernorm", "mlp"),
            lambda hidden_states, _: layer.feed_forward(hidden_states),
            ends_layer=True,
        ),
    )
