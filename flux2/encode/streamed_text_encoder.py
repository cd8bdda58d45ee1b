"""The text encoder without the text encoder in memory: one matrix or few work while the next ones are read.

It gives the same numbers as the whole network, in the checkpoint's own precision. The embedding table is never loaded:
the rows of the prompt's tokens are gathered from the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mlx.utils import tree_flatten

from flux2.backend.mlx import mx
from flux2.checkpoint.loading import set_at, stored_dtype
from flux2.checkpoint.networks import NetworkSource
from flux2.checkpoint.streaming import stream
from flux2.encode.prompt import TokenizedPrompt
from flux2.errors import CheckpointError
from flux2.models.evaluation import AfterBlock
from flux2.models.language_model import Attendable, DecoderLayer, LanguageModel, LayerState, Stage

_EMBEDDINGS = "model.embed_tokens.weight"
_NOTHING = mx.array(0.0)
"""Stand-in for a weight that was let go."""


@dataclass(slots=True)
class _Encoding:
    """One prompt on its way through the layers."""

    state: LayerState
    attendable: Attendable
    taken: list[mx.array] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stage of a layer, and the weights it needs."""

    number: int
    """Number of the layer, 1 for the first."""
    layer: DecoderLayer
    stage: Stage
    paths: tuple[str, ...]
    """Paths of the weights within the layer."""
    ends_layer: bool

    def install(self, tensors: Sequence[mx.array], dtype: mx.Dtype) -> None:
        """Give the layer these weights, in the order of `paths`."""
        for path, tensor in zip(self.paths, tensors, strict=True):
            set_at(self.layer, path, tensor.astype(stored_dtype(tensor, dtype)))

    def release(self) -> None:
        for path in self.paths:
            set_at(self.layer, path, _NOTHING)


def encode_streamed(
    source: NetworkSource, prompts: Sequence[TokenizedPrompt], dtype: mx.Dtype, after_layer: AfterBlock = mx.eval
) -> list[mx.array]:
    """The embeddings of each prompt, [1, tokens, joint_attention_dim], all in one pass over the file.

    Args:
        after_layer: called with each prompt's hidden states after each layer; may raise to stop.

    Raises:
        CheckpointError: if a file can't be read to the end, or the tokenizer is not the text encoder's.
    """
    check_tokens(source, prompts)
    network: LanguageModel = source.build()
    tensors = {info.name: info for info in source.plan.tensors}
    encodings = [
        _Encoding(
            LayerState(tensors[_EMBEDDINGS].read_rows(prompt.input_ids).astype(dtype)),
            network.attendable(mx.array(prompt.attention_mask)),
        )
        for prompt in prompts
    ]
    pieces = [piece for number, layer in enumerate(network.layers, start=1) for piece in _pieces(number, layer)]
    needed = [[tensors[f"model.layers.{piece.number - 1}.{path}"] for path in piece.paths] for piece in pieces]

    def use(index: int, read: list[mx.array]) -> None:
        piece, weights = pieces[index], []
        for tensor in needed[index]:
            count = len(tensor.parts)
            parts, read[:count] = read[:count], []
            weights.append(tensor.decoded(parts))
        piece.install(weights, dtype)
        weights.clear()
        for encoding in encodings:
            encoding.state = piece.stage.run(encoding.state, encoding.attendable)
            mx.eval(encoding.state)
            if piece.ends_layer:
                after_layer(encoding.state.hidden_states)
                if piece.number in network.config.hidden_states_layers:
                    encoding.taken.append(encoding.state.hidden_states)
        piece.release()
        mx.synchronize()  # a GPU lets go of what it is done with a little late: before more is read, and so in bounds

    stream([[part for tensor in weights for part in tensor.parts] for weights in needed], use)
    embeddings = [mx.concatenate(encoding.taken, axis=-1) for encoding in encodings]
    mx.eval(embeddings)
    return embeddings


def check_tokens(source: NetworkSource, prompts: Sequence[TokenizedPrompt]) -> None:
    """Raises CheckpointError if a prompt holds a token that the text encoder has no embedding of."""
    table = next(info for info in source.plan.tensors if info.name == _EMBEDDINGS)
    last_token = max(int(prompt.input_ids.max()) for prompt in prompts)
    if last_token >= table.shape[0]:
        raise CheckpointError(
            f"{table.path}: the tokenizer gives token {last_token}, but embeddings are there for {table.shape[0]}; "
            "tokenizer and text encoder are of different checkpoints, so download this one again."
        )


def _pieces(number: int, layer: DecoderLayer) -> Iterator[_Piece]:
    paths = [path for path, _ in tree_flatten(layer.parameters())]
    for stage in layer.stages:
        needed = tuple(path for path in paths if path.startswith(tuple(f"{child}." for child in stage.children)))
        yield _Piece(number, layer, stage, needed, ends_layer=stage == layer.stages[-1])
