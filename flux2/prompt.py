"""Prompt → token ids → prompt embeddings, as the checkpoint's own tokenizer and chat template would have it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from flux2.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import AutoTokenizer, PreTrainedTokenizerBase

MAX_SEQUENCE_LENGTH = 512
"""Text tokens that FLUX.2 was trained with, padding included (diffusers' `max_sequence_length`)."""


@dataclass(frozen=True, slots=True)
class TokenizedPrompt:
    """A prompt as the text encoder takes it: cut or padded to one length."""

    input_ids: npt.NDArray[np.int32]
    """[1, length]"""
    attention_mask: npt.NDArray[np.int32]
    """[1, length], 1 for a token and 0 for padding."""
    dropped: int
    """Tokens that did not fit; more than 0 is worth a warning."""


def import_auto_tokenizer() -> type[AutoTokenizer]:
    """transformers' AutoTokenizer: a second to import (three where torch is installed), and only encoding needs it."""
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # no word about a missing PyTorch, please
    from transformers import AutoTokenizer

    loaded: type[AutoTokenizer] = AutoTokenizer
    return loaded


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a checkpoint's tokenizer/ folder, with its chat template.

    Raises:
        CheckpointError: if it can't be read, or has no chat template.
    """
    auto_tokenizer = import_auto_tokenizer()
    if not folder.is_dir():
        raise CheckpointError(f"There is no tokenizer folder {folder}; download the checkpoint again.")
    try:
        tokenizer = auto_tokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the tokenizers library raises plain Exception for what it can't parse
        raise CheckpointError(
            f"The tokenizer in {folder} can't be read ({_first_line(error)}); download the checkpoint again."
        ) from error
    if tokenizer.chat_template is None:
        raise CheckpointError(f"The tokenizer in {folder} has no chat template; download the checkpoint again.")
    return tokenizer


def sequence_length(tokenizer: PreTrainedTokenizerBase, max_sequence_length: int | None = None) -> int:
    """How many text tokens a run uses: as asked, else those the checkpoint was trained with, at most 512."""
    return max_sequence_length or min(MAX_SEQUENCE_LENGTH, tokenizer.model_max_length)


def tokenize(
    tokenizer: PreTrainedTokenizerBase, prompt: str, max_sequence_length: int | None = None
) -> TokenizedPrompt:
    """One user turn without thinking, in the tokenizer's chat template, cut or padded to one length."""
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    length = sequence_length(tokenizer, max_sequence_length)
    options: dict[str, Any] = {"padding": "max_length", "truncation": True, "max_length": length}
    padded = tokenizer(text, return_tensors="np", **options)
    tokens = len(tokenizer(text, verbose=False)["input_ids"])
    return TokenizedPrompt(
        input_ids=padded["input_ids"].astype(np.int32),
        attention_mask=padded["attention_mask"].astype(np.int32),
        dropped=max(0, tokens - length),
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
