"""The whole model while it is trained: tokenizer, text encoder, transformer and the frozen autoencoder."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Transformer2DModel
from torch import Tensor
from transformers import Qwen2TokenizerFast, Qwen3ForCausalLM

from .latents import Normalization, text_ids
from .loop import COMPUTE, DEVICE, ON_GPU
from .networks import new_scheduler, new_text_encoder, new_transformer
from .text import PromptEmbedder
from .tokenizer import MAX_TOKENS, VOCABULARY, tokenize

SHARD = "15MB"


class Pocket:
    def __init__(
        self,
        tokenizer: Qwen2TokenizerFast,
        text_encoder: Qwen3ForCausalLM,
        transformer: Flux2Transformer2DModel,
        autoencoder: AutoencoderKLFlux2,
        compiled: bool = False,
    ) -> None:
        self.tokenizer, self.text_encoder, self.transformer = tokenizer, text_encoder, transformer
        self.normalization = Normalization(autoencoder)
        self._embed = PromptEmbedder(text_encoder, compiled)
        if compiled:
            transformer.compile_repeated_blocks(dynamic=False)
        self._text_ids = {length: text_ids(length).to(DEVICE) for length in (MAX_TOKENS, 512)}
        tokens, lengths = tokenize(tokenizer, [""])
        self._nothing = torch.from_numpy(tokens[0]).long().to(DEVICE), int(lengths[0])
        self._padding = tokenizer.pad_token_id

    @classmethod
    def new(cls, tokenizer: Qwen2TokenizerFast, autoencoder: AutoencoderKLFlux2) -> Pocket:
        encoder, transformer = new_text_encoder(VOCABULARY).to(DEVICE), new_transformer().to(DEVICE)
        return cls(tokenizer, encoder, transformer, autoencoder, compiled=ON_GPU)

    @classmethod
    def load(cls, folder: Path, compiled: bool = False) -> Pocket:
        """Model from a checkpoint; the weights in float32."""
        pipeline = Flux2KleinPipeline.from_pretrained(folder, dtype=torch.float32).to(DEVICE)
        autoencoder = pipeline.vae.eval().requires_grad_(False).to(COMPUTE)
        return cls(pipeline.tokenizer, pipeline.text_encoder, pipeline.transformer, autoencoder, compiled)

    def frozen_copy(self) -> Pocket:
        """Copy for sampling: not compiled, as the shapes vary, and in the precision of the computation."""
        encoder, transformer = new_text_encoder(VOCABULARY), new_transformer()
        encoder.load_state_dict(self.text_encoder.state_dict())
        transformer.load_state_dict(self.transformer.state_dict())
        encoder.to(DEVICE, COMPUTE).eval().requires_grad_(False)
        transformer.to(DEVICE, COMPUTE).eval().requires_grad_(False)
        return Pocket(self.tokenizer, encoder, transformer, self.normalization.autoencoder)

    def save(self, folder: Path, distilled: bool) -> None:
        """Save the model in diffusers' layout, in bf16, in files of at most 16 MiB."""
        frozen = copy.deepcopy(self.frozen_copy())
        Flux2KleinPipeline(
            scheduler=new_scheduler(),
            vae=copy.deepcopy(self.normalization.autoencoder).to("cpu", torch.bfloat16),
            text_encoder=frozen.text_encoder.to("cpu", torch.bfloat16),
            tokenizer=self.tokenizer,
            transformer=frozen.transformer.to("cpu", torch.bfloat16),
            is_distilled=distilled,
        ).save_pretrained(folder, max_shard_size=SHARD)

    def drop_some(self, tokens: Tensor, lengths: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Replace a share of the prompts by the empty one, for guidance."""
        dropped = torch.rand(len(tokens), device=DEVICE) < share
        nothing, length = self._nothing
        return torch.where(dropped[:, None], nothing, tokens), lengths.masked_fill(dropped, length)

    def embed(self, tokens: Tensor, lengths: Tensor, pad_to: int = MAX_TOKENS) -> Tensor:
        missing = pad_to - tokens.shape[1]
        return self._embed(torch.nn.functional.pad(tokens, (0, missing), value=self._padding), lengths)

    def embed_prompts(self, prompts: list[str], pad_to: int = MAX_TOKENS) -> Tensor:
        tokens, lengths = (torch.from_numpy(array).long().to(DEVICE) for array in tokenize(self.tokenizer, prompts))
        return self.embed(tokens, lengths, pad_to)

    def velocity(self, latents: Tensor, sigma: Tensor, embeddings: Tensor, ids: Tensor) -> Tensor:
        """What the transformer predicts, noise - picture [n, tokens, 128]; sigma [n] in 0..1."""
        prediction: Tensor = self.transformer(
            hidden_states=latents,
            timestep=sigma,
            encoder_hidden_states=embeddings,
            img_ids=ids,
            txt_ids=self._text_ids[embeddings.shape[1]],
            guidance=None,
            return_dict=False,
        )[0]
        return prediction
