"""Prompts to embeddings: from memory, from the disk, or, where nobody knows them yet, from the text encoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from flux2.architecture.limits import MAX_TEXT_TOKENS
from flux2.architecture.text_encoder import PromptForm, find_text_encoder
from flux2.backend.mlx import mx, on_cpu
from flux2.checkpoint.networks import NetworkSource
from flux2.encode.prompt import TokenizedPrompt, tokenize
from flux2.encode.prompt_cache import EncodedPrompt, PromptCache, fingerprint
from flux2.encode.streamed_text_encoder import check_tokens, encode_streamed
from flux2.encode.tokenizing import Tokenizer, load_tokenizer
from flux2.models.evaluation import evaluating
from flux2.models.language_model import LanguageModel
from flux2.reporting import RunReport


@dataclass(slots=True)
class PromptEncoder:
    """Text → [1, tokens, joint_attention_dim], in `dtype`."""

    source: NetworkSource
    tokenizer_folder: Path
    dtype: mx.Dtype
    resident: bool = False
    """Whether the text encoder stays in memory once it was needed; else it passes through, a few matrices at a time."""
    _network: LanguageModel | None = None
    """The text encoder, where it is resident and was needed."""
    _tokenizer: Tokenizer | None = None
    _kept: dict[tuple[str, int | None], EncodedPrompt] = field(default_factory=dict)
    """Embeddings of the last call, by prompt and length asked for."""

    def knows(self, prompts: list[str], max_sequence_length: int | None) -> bool:
        """Whether all of them can be had without the text encoder."""
        self._recall(prompts, max_sequence_length)
        return all((prompt, max_sequence_length) in self._kept for prompt in prompts)

    def encode(self, prompts: list[str], max_sequence_length: int | None, report: RunReport) -> list[mx.array]:
        """The embeddings of each prompt; the phase "encode" if any of them is new.

        Raises:
            CheckpointError: if tokenizer or text encoder can't be read.
            GenerationCancelled: between two layers.
        """
        self._recall(prompts, max_sequence_length)
        new = [prompt for prompt in dict.fromkeys(prompts) if (prompt, max_sequence_length) not in self._kept]
        if new:
            with report.phase("encode"):
                self._encode(new, max_sequence_length, report)
        encoded = [self._kept[prompt, max_sequence_length] for prompt in prompts]
        for prompt in encoded:
            if prompt.dropped:
                report.warn(_cut(prompt))
        return [prompt.embeddings for prompt in encoded]

    def keep_resident(self, resident: bool) -> None:
        """Change whether the text encoder stays in memory; one that need not is let go."""
        self.resident = resident
        if not resident:
            self._network = None

    def forget(self) -> None:
        """Let go of what is kept in memory."""
        self._kept = {}
        self._network = None

    def _recall(self, prompts: list[str], length: int | None) -> None:
        """Keep in memory these prompts and no others, as far as memory or disk have them."""
        cache = self._cache()
        found = {}
        for prompt in prompts:
            encoded = self._kept.get((prompt, length)) or (cache and cache.find(prompt, length))
            if encoded:
                found[prompt, length] = encoded
        self._kept = found

    def _encode(self, prompts: list[str], length: int | None, report: RunReport) -> None:
        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(self.tokenizer_folder)
        tokenized = [tokenize(self._tokenizer, prompt, self._form, length) for prompt in prompts]
        embeddings = self._embed(tokenized, report)
        cache = self._cache()
        for prompt, tokens, embedding in zip(prompts, tokenized, embeddings, strict=True):
            encoded = EncodedPrompt(embedding, tokens.dropped)
            self._kept[prompt, length] = encoded
            if cache:
                cache.keep(prompt, length, encoded)

    def _embed(self, prompts: list[TokenizedPrompt], report: RunReport) -> list[mx.array]:
        layers = self.source.config.used_layers * len(prompts)
        if not self.resident:
            return encode_streamed(
                self.source, prompts, self.dtype, evaluating(report.progress("encode", layers, "layers"))
            )
        check_tokens(self.source, prompts)
        if self._network is None:
            read = report.progress("encode", self.source.plan.nbytes, "bytes")
            self._network = self.source.load(self.dtype, on_bytes=read)
        after_layer = evaluating(report.progress("encode", layers, "layers"))
        embeddings = [
            self._network(mx.array(prompt.input_ids), mx.array(prompt.attention_mask), after_layer)
            for prompt in prompts
        ]
        mx.eval(embeddings)
        return embeddings

    @property
    def _form(self) -> PromptForm:
        return find_text_encoder(self.source.component.config).prompt_form

    def _cache(self) -> PromptCache | None:
        """The disk's, for these files as they are now; None where they are gone."""
        try:
            files = [*self.source.component.files, *self.tokenizer_folder.iterdir()]
            facts = (self.source.component.config, MAX_TEXT_TOKENS, str(self.dtype), on_cpu())
            return PromptCache(fingerprint(files, *facts))
        except OSError:
            return None


def _cut(prompt: EncodedPrompt) -> str:
    length = prompt.embeddings.shape[1]
    return f"The prompt is {prompt.dropped} tokens longer than the {length} this model reads; its end was left out."
