"""Text → token ids, as a checkpoint's tokenizer.json and chat template have it.

transformers does this for every tokenizer that there is, and takes a second to import. Those of FLUX.2's checkpoints
need no more than the two libraries that it uses for them: tokenizers for the ids, jinja2's sandbox for the template.
Where a folder asks for anything else, transformers reads it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from flux2.checkpoint.files import read_length
from flux2.checkpoint.json_file import read_json
from flux2.checkpoint.remedies import fetch_anew
from flux2.checkpoint.tokenizer_files import CONFIG_FILE, TOKENIZER_FILE, check_tokenizer, read_template
from flux2.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_IMPORTING = Lock()
"""transformers finds its parts when they are asked for; a second thread that asks meanwhile is told there is none."""
_SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""What a tokenizer's config names, and its template may use."""
_EXTRA_TOKENS = ("extra_special_tokens", "additional_special_tokens")


class Tokenizer(Protocol):
    """What a prompt needs of a tokenizer."""

    folder: Path
    model_max_length: int
    """Tokens that it was made for."""
    pad_id: int | None
    """Id that fills what is left; None for none."""

    @property
    def bos_token(self) -> str:
        """What begins a text; "" for none."""

    def render(self, messages: list[dict[str, Any]], arguments: dict[str, Any]) -> str:
        """A conversation in the chat template; raises whatever the template's expressions do."""

    def ids(self, text: str, *, add_special_tokens: bool, max_length: int | None = None) -> list[int]:
        """Token ids of a text, cut at its end where it is longer."""


class _NeedsTransformersError(Exception):
    """The folder asks for what is not done here."""


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a checkpoint's tokenizer/ folder, with its chat template; a processor of pictures is left alone.

    Raises:
        CheckpointError: if it can't be read, or has no chat template.
    """
    check_tokenizer(folder)
    try:
        try:
            return _PlainTokenizer.read(folder)
        except _NeedsTransformersError:
            return _TransformersTokenizer.read(folder)
    except CheckpointError:
        raise
    except Exception as error:  # the tokenizers library raises plain Exception for what it can't parse
        path = folder / TOKENIZER_FILE
        raise CheckpointError(
            f"The tokenizer in {folder} can't be read ({one_line(error)}); {fetch_anew(path)}."
        ) from error


def one_line(error: BaseException) -> str:
    """Reason of an error in one line, however many it has."""
    return " ".join(str(error).split()) or type(error).__name__


@dataclass(slots=True)
class _PlainTokenizer:
    """tokenizers and jinja2 alone."""

    folder: Path
    model_max_length: int
    special_tokens: dict[str, str]
    pad_id: int | None
    _backend: Any
    _template: Callable[..., str]

    @classmethod
    def read(cls, folder: Path) -> _PlainTokenizer:
        from tokenizers import Tokenizer as Backend

        config = read_json(folder / CONFIG_FILE)
        backend = Backend.from_file(str(folder / TOKENIZER_FILE))
        special = {name: _text(config[name]) for name in _SPECIAL_TOKENS if config.get(name)}
        padding, truncation = backend.padding, backend.truncation
        if padding:
            special.setdefault("pad_token", padding["pad_token"])
        known = {token.content for token in backend.get_added_tokens_decoder().values()}
        if (
            not known.issuperset(special.values())
            or not known.issuperset(_extra_tokens(config))
            or not _same_added_tokens(config, backend)
            or config.get("add_eos_token")
            or config.get("split_special_tokens")
            or config.get("truncation_side", "right") != "right"
            or (truncation and truncation["direction"] != "right")
            or any((folder / name).exists() for name in ("config.json", "special_tokens_map.json", "added_tokens.json"))
        ):
            raise _NeedsTransformersError
        backend.no_padding()
        backend.no_truncation()
        if "add_bos_token" in config or "add_eos_token" in config or backend.post_processor is None:
            _begin_as_told(backend, special.get("bos_token", "") if config.get("add_bos_token") else "")
        pad = special.get("pad_token")
        length = read_length(folder / CONFIG_FILE, config.get("model_max_length"))
        template = _compile(read_template(folder))
        return cls(folder, length, special, backend.token_to_id(pad) if pad else None, backend, template)

    @property
    def bos_token(self) -> str:
        return self.special_tokens.get("bos_token", "")

    def render(self, messages: list[dict[str, Any]], arguments: dict[str, Any]) -> str:
        given = {"tools": None, "documents": None, "add_generation_prompt": False, **self.special_tokens, **arguments}
        return self._template(messages=messages, **given)

    def ids(self, text: str, *, add_special_tokens: bool, max_length: int | None = None) -> list[int]:
        if max_length is not None:
            self._backend.enable_truncation(max_length)
        try:
            return list(self._backend.encode(text, add_special_tokens=add_special_tokens).ids)
        finally:
            self._backend.no_truncation()


@dataclass(slots=True)
class _TransformersTokenizer:
    """Whatever transformers makes of the folder."""

    folder: Path
    model_max_length: int
    bos_token: str
    pad_id: int | None
    _tokenizer: Any
    _template: str

    @classmethod
    def read(cls, folder: Path) -> _TransformersTokenizer:
        tokenizer = import_transformers().from_pretrained(folder, local_files_only=True)
        length = read_length(folder / CONFIG_FILE, tokenizer.model_max_length)
        template = read_template(folder)
        return cls(folder, length, tokenizer.bos_token or "", tokenizer.pad_token_id, tokenizer, template)

    def render(self, messages: list[dict[str, Any]], arguments: dict[str, Any]) -> str:
        apply = self._tokenizer.apply_chat_template
        return str(apply(messages, chat_template=self._template, tokenize=False, **arguments))

    def ids(self, text: str, *, add_special_tokens: bool, max_length: int | None = None) -> list[int]:
        cut = {} if max_length is None else {"truncation": True, "max_length": max_length}
        encoded = self._tokenizer(text, add_special_tokens=add_special_tokens, verbose=False, **cut)
        return list(encoded["input_ids"])


def import_transformers() -> type[PreTrainedTokenizerFast]:
    """The class of transformers that takes tokenizer.json to the letter; for any thread.

    AutoTokenizer would follow the class that the folder names, import torch on the way, and rebuild Dev's as a Llama's.
    """
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # no word about a missing PyTorch, please
    with _IMPORTING:
        from transformers import PreTrainedTokenizerFast

    loaded: type[PreTrainedTokenizerFast] = PreTrainedTokenizerFast
    return loaded


def _text(token: Any) -> str:
    """A token's text: configs write it by itself or with its properties."""
    content = token.get("content") if isinstance(token, dict) else token
    if not isinstance(content, str):
        raise _NeedsTransformersError
    return content


def _extra_tokens(config: dict[str, Any]) -> set[str]:
    extra: set[str] = set()
    for name in _EXTRA_TOKENS:
        value = config.get(name) or []
        if not isinstance(value, list):
            raise _NeedsTransformersError
        extra |= set(map(_text, value))
    return extra


def _same_added_tokens(config: dict[str, Any], backend: Any) -> bool:
    """Whether the tokens that the config adds are those that tokenizer.json has."""
    here = backend.get_added_tokens_decoder()
    for number, token in config.get("added_tokens_decoder", {}).items():
        found = here.get(int(number))
        names = ("content", "lstrip", "rstrip", "normalized", "single_word", "special")
        if found is None or any(token.get(name) != getattr(found, name) for name in names):
            return False
    return True


def _begin_as_told(backend: Any, begin: str) -> None:
    """Let texts begin with this token, or with none for "", in place of what tokenizer.json does to them."""
    from tokenizers import processors

    backend.post_processor = processors.TemplateProcessing(
        single=[begin, "$A"] if begin else ["$A"],
        special_tokens=[(begin, backend.token_to_id(begin))] if begin else [],
    )


def _compile(template: str) -> Callable[..., str]:
    """The template's `render`, in a sandbox; with what transformers gives templates beside Jinja's own.

    https://huggingface.co/docs/transformers/chat_templating_writing
    """
    from datetime import datetime

    from jinja2 import TemplateError, TemplateSyntaxError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def fail(message: str) -> None:
        raise TemplateError(message)

    def as_json(value: Any, indent: int | None = None, **others: Any) -> str:
        return json.dumps(value, ensure_ascii=others.pop("ensure_ascii", False), indent=indent, **others)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = as_json
    environment.globals["raise_exception"] = fail
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    try:
        render: Callable[..., str] = environment.from_string(template).render
    except TemplateSyntaxError as error:  # a tag of transformers' own, or a fault that it tells better
        raise _NeedsTransformersError from error
    return render
