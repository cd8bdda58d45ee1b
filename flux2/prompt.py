"""Prompt → token ids → prompt embeddings, as the checkpoint's own tokenizer and chat template would have it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from flux2.architecture.limits import MAX_TEXT_TOKENS
from flux2.architecture.text_encoder import PromptForm
from flux2.checkpoint.files import read_length
from flux2.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast


@dataclass(frozen=True, slots=True)
class TokenizedPrompt:
    """A prompt as the text encoder takes it: cut or padded to one length."""

    input_ids: npt.NDArray[np.int32]
    """[1, length]"""
    attention_mask: npt.NDArray[np.int32]
    """[1, length], 1 for a token and 0 for padding."""
    dropped: int
    """Tokens that did not fit; more than 0 is worth a warning."""


_IMPORTING = Lock()
"""transformers finds its parts when they are asked for; a second thread that asks meanwhile is told there is none."""


def import_tokenizer() -> type[PreTrainedTokenizerFast]:
    """The class that takes tokenizer.json to the letter: a second to import, and only encoding needs it.

    AutoTokenizer would follow the class that the folder names, import torch on the way, and rebuild Dev's as a Llama's.
    """
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # no word about a missing PyTorch, please
    with _IMPORTING:
        from transformers import PreTrainedTokenizerFast

    loaded: type[PreTrainedTokenizerFast] = PreTrainedTokenizerFast
    return loaded


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a checkpoint's tokenizer/ folder, with its chat template; a processor of pictures is left alone.

    Raises:
        CheckpointError: if it can't be read, or has no chat template.
    """
    tokenizer_class = import_tokenizer()
    if not folder.is_dir():
        raise CheckpointError(f"There is no tokenizer folder {folder}; download the checkpoint again.")
    try:
        tokenizer: PreTrainedTokenizerBase = tokenizer_class.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the tokenizers library raises plain Exception for what it can't parse
        raise CheckpointError(
            f"The tokenizer in {folder} can't be read ({_first_line(error)}); download the checkpoint again."
        ) from error
    if tokenizer.chat_template is None:
        raise CheckpointError(f"The tokenizer in {folder} has no chat template; download the checkpoint again.")
    read_length(folder / "tokenizer_config.json", tokenizer.model_max_length)
    return tokenizer


def sequence_length(tokenizer: PreTrainedTokenizerBase, max_sequence_length: int | None = None) -> int:
    """Text tokens of a run: as asked, else those the checkpoint was trained with, at most `MAX_TEXT_TOKENS`."""
    return max_sequence_length or min(MAX_TEXT_TOKENS, tokenizer.model_max_length)


def tokenize(
    tokenizer: PreTrainedTokenizerBase, prompt: str, form: PromptForm, max_sequence_length: int | None = None
) -> TokenizedPrompt:
    """The prompt in the tokenizer's chat template, cut at its end or padded to one length.

    Raises:
        CheckpointError: if the chat template, which is rendered in a sandbox, fails.
    """
    try:
        text = str(tokenizer.apply_chat_template(form.messages(prompt), tokenize=False, **form.template_arguments))
    except Exception as error:  # jinja2's own, and whatever the template's expressions raise
        raise CheckpointError(
            f"The chat template in {tokenizer.name_or_path} can't be used ({_first_line(error)}); download the "
            "checkpoint again."
        ) from error
    has_first_token = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
    length = sequence_length(tokenizer, max_sequence_length)
    padded = tokenizer(
        text,
        return_tensors="np",
        add_special_tokens=not has_first_token,
        padding="max_length",
        padding_side=form.padding_side,
        truncation=True,
        max_length=length,
    )
    tokens = len(tokenizer(text, add_special_tokens=not has_first_token, verbose=False)["input_ids"])
    return TokenizedPrompt(
        input_ids=padded["input_ids"].astype(np.int32),
        attention_mask=padded["attention_mask"].astype(np.int32),
        dropped=max(0, tokens - length),
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
