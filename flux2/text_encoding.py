"""Prompts to embeddings, with the text encoder in memory only while it works; the last ones are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flux2.checkpoint.networks import NetworkSource
from flux2.mlx_backend import mx
from flux2.models.qwen3 import HIDDEN_STATES_LAYERS
from flux2.prompt import TokenizedPrompt, load_tokenizer, tokenize
from flux2.reporting import RunReport, evaluating

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(slots=True)
class PromptEncoder:
    """Text → [1, tokens, joint_attention_dim], in `dtype`."""

    source: NetworkSource
    tokenizer_folder: Path
    dtype: mx.Dtype
    _tokenizer: PreTrainedTokenizerBase | None = None
    _kept: dict[tuple[str, int | None], mx.array] = field(default_factory=dict)
    """The embeddings of the last call, by prompt and length asked for."""

    def knows(self, prompts: list[str], max_sequence_length: int | None) -> bool:
        """Whether all of them can be had without the text encoder."""
        return all((prompt, max_sequence_length) in self._kept for prompt in prompts)

    def encode(self, prompts: list[str], max_sequence_length: int | None, report: RunReport) -> list[mx.array]:
        """The embeddings of each prompt; the phase "encode" if any of them is new.

        Raises:
            CheckpointError: if tokenizer or text encoder can't be read.
            GenerationCancelled: between two layers, or during reading.
        """
        if not self.knows(prompts, max_sequence_length):
            with report.phase("encode"):
                self._kept = {
                    (prompt, max_sequence_length): embeddings
                    for prompt, embeddings in self._encode(prompts, max_sequence_length, report).items()
                }
        return [self._kept[prompt, max_sequence_length] for prompt in prompts]

    def forget(self) -> None:
        """Let go of what is kept."""
        self._kept = {}

    def _encode(self, prompts: list[str], length: int | None, report: RunReport) -> dict[str, mx.array]:
        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(self.tokenizer_folder)
        tokenized = {prompt: tokenize(self._tokenizer, prompt, length) for prompt in prompts}
        for tokens in tokenized.values():
            if tokens.dropped:
                report.warn(_cut(tokens))
        text_encoder = self.source.load(self.dtype, on_bytes=lambda _: report.go_on())
        layers = report.progress("encode", len(tokenized) * HIDDEN_STATES_LAYERS[-1], "layers")
        encoded = {}
        for prompt, tokens in tokenized.items():
            ids, mask = mx.array(tokens.input_ids), mx.array(tokens.attention_mask)
            encoded[prompt] = text_encoder(ids, mask, evaluating(layers)).astype(self.dtype)
        mx.eval(list(encoded.values()))
        return encoded


def _cut(tokens: TokenizedPrompt) -> str:
    length = tokens.input_ids.shape[1]
    return f"The prompt is {tokens.dropped} tokens longer than the {length} this model reads; its end was left out."
