"""Prompt → token ids in the form that the text encoder was told prompts in: its conversation, cut or padded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flux2.architecture.limits import MAX_TEXT_TOKENS
from flux2.architecture.text_encoder import PromptForm
from flux2.checkpoint.remedies import fetch_anew
from flux2.checkpoint.tokenizer_files import CONFIG_FILE, TEMPLATE_FILE
from flux2.encode.tokenizing import Tokenizer, one_line
from flux2.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class TokenizedPrompt:
    """A prompt as the text encoder takes it: cut or padded to one length."""

    input_ids: npt.NDArray[np.int32]
    """[1, length]"""
    attention_mask: npt.NDArray[np.int32]
    """[1, length], 1 for a token and 0 for padding."""
    dropped: int
    """Tokens that did not fit; more than 0 is worth a warning."""


def sequence_length(tokenizer: Tokenizer, max_sequence_length: int | None = None) -> int:
    """Text tokens of a run: as asked, else those the checkpoint was trained with, at most `MAX_TEXT_TOKENS`."""
    return max_sequence_length or min(MAX_TEXT_TOKENS, tokenizer.model_max_length)


def tokenize(
    tokenizer: Tokenizer, prompt: str, form: PromptForm, max_sequence_length: int | None = None
) -> TokenizedPrompt:
    """The prompt in the tokenizer's chat template, cut at its end or padded to one length.

    Raises:
        CheckpointError: if the chat template, which is rendered in a sandbox, fails.
    """
    try:
        text = tokenizer.render(form.messages(prompt), form.template_arguments)
    except Exception as error:  # jinja2's own, and whatever the template's expressions raise
        raise CheckpointError(
            f"The chat template in {tokenizer.folder} can't be used ({one_line(error)}); "
            f"{fetch_anew(tokenizer.folder / TEMPLATE_FILE)}."
        ) from error
    special = not (tokenizer.bos_token and text.startswith(tokenizer.bos_token))
    length = sequence_length(tokenizer, max_sequence_length)
    whole = tokenizer.ids(text, add_special_tokens=special)
    ids = tokenizer.ids(text, add_special_tokens=special, max_length=length) if len(whole) > length else whole
    if len(ids) < length and tokenizer.pad_id is None:
        raise CheckpointError(
            f"{tokenizer.folder / CONFIG_FILE} names no pad_token, and prompts are filled up with it; "
            f"{fetch_anew(tokenizer.folder / CONFIG_FILE)}."
        )
    fill, ones = [tokenizer.pad_id or 0] * (length - len(ids)), [1] * len(ids)
    left = form.padding_side == "left"
    return TokenizedPrompt(
        input_ids=np.array([fill + ids if left else ids + fill], np.int32),
        attention_mask=np.array([[0] * len(fill) + ones if left else ones + [0] * len(fill)], np.int32),
        dropped=max(0, len(whole) - length),
    )
