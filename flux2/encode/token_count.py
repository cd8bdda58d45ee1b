"""How many tokens a prompt is to a model, for whoever types one. Reads the tokenizer alone; downloads nothing."""

from __future__ import annotations

import threading
from pathlib import Path

from flux2.architecture.text_encoder import PromptForm, find_text_encoder
from flux2.checkpoint.files import TOKENIZER
from flux2.checkpoint.json_file import read_json
from flux2.encode.prompt import tokenize
from flux2.encode.tokenizing import Tokenizer, load_tokenizer
from flux2.errors import CheckpointError
from flux2.store.local import find_local


class TokenCounter:
    """Keeps the last tokenizer. For any thread; several wait for each other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[Path, Tokenizer] | None = None

    def count(self, model: str, prompt: str) -> tuple[int, int] | None:
        """The prompt's tokens, the chat template's included, and how many the model reads at most.

        None where the model is not on this machine, or has no tokenizer that can be read.
        """
        folder = find_local(model)
        if folder is None:
            return None
        with self._lock:
            try:
                tokenized = tokenize(self._tokenizer(folder), prompt, _form(folder))
            except CheckpointError:
                return None
        return int(tokenized.attention_mask.sum()) + tokenized.dropped, tokenized.input_ids.shape[1]

    def _tokenizer(self, folder: Path) -> Tokenizer:
        if self._kept is None or self._kept[0] != folder:
            self._kept = folder, load_tokenizer(folder / TOKENIZER)
        return self._kept[1]


def _form(folder: Path) -> PromptForm:
    """How the checkpoint's text encoder takes a prompt."""
    config = folder / "text_encoder" / "config.json"
    return find_text_encoder(read_json(config), str(config)).prompt_form
