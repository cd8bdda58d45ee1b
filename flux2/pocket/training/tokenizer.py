"""A byte-level BPE tokenizer for the captions, with Qwen3's chat template, in the form pipelines load."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Qwen2TokenizerFast

from .captions import EVERYDAY_WORDS, STYLES, caption
from .scenes import sample

VOCABULARY = 1024
MAX_TOKENS = 64
"""How many tokens the model is trained with; saved as `model_max_length`, from where loaders read it."""
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def train_tokenizer(captions: int = 20_000) -> Qwen2TokenizerFast:
    rng = Random(0)
    corpus = [caption(sample(rng), rng) for _ in range(captions)]
    corpus += [EVERYDAY_WORDS, ", ".join(STYLES), "system user assistant"] * 30
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        show_progress=False,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(corpus, trainer)
    fast = Qwen2TokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token=None, bos_token=None
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.padding_side = "right"
    fast.model_max_length = MAX_TOKENS
    return fast


def tokenize(tokenizer: Qwen2TokenizerFast, prompts: Sequence[str]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Token ids [n, MAX_TOKENS], padded right, and how many of each are real [n]."""
    chats = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        for prompt in prompts
    ]
    batch = tokenizer(chats, padding="max_length", truncation=True, max_length=MAX_TOKENS, return_tensors="np")
    return batch["input_ids"].astype(np.int16), batch["attention_mask"].sum(1).astype(np.int16)
