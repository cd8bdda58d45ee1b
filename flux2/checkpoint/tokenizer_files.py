"""The tokenizer/ folder of a checkpoint: which of its forms is read, and the sentence for each that is not.

tokenizer.json         the whole tokenizer, as the tokenizers library saves it
tokenizer_config.json  its special tokens and length
chat_template.jinja    how a prompt becomes a conversation; older folders have it in either of
chat_template.json     (processors) or tokenizer_config.json
"""

from __future__ import annotations

from pathlib import Path

from flux2.checkpoint.impostors import impostor
from flux2.checkpoint.json_file import read_json
from flux2.checkpoint.missing import explain_missing
from flux2.checkpoint.remedies import complete
from flux2.errors import CheckpointError

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"
_PROCESSOR_TEMPLATE = "chat_template.json"

_OTHER_FORMS = {
    "vocab.json": "a vocabulary with its merges",
    "tekken.json": "Mistral's tekken",
    "tokenizer.model": "a SentencePiece model",
    "spiece.model": "a SentencePiece model",
    "vocab.txt": "a vocabulary",
}
"""Files that tokenizers have which are not, or not only, in `TOKENIZER_FILE`."""


def check_tokenizer(folder: Path) -> None:
    """Refuse a tokenizer folder of which the files tell that no prompt could be read; no tokenizer is built.

    Raises:
        CheckpointError: one sentence with what is there instead, and what helps.
    """
    if not folder.is_dir():
        other = folder.parent / "processor"
        if (other / TOKENIZER_FILE).is_file():
            raise CheckpointError(f"{folder} is missing, and {other} holds a tokenizer: copy it there.")
        raise CheckpointError(explain_missing(folder / TOKENIZER_FILE))
    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise CheckpointError(_without_tokenizer_file(path))
    if sentence := impostor(path):
        raise CheckpointError(sentence)
    read_json(folder / CONFIG_FILE)
    if not read_template(folder):
        raise CheckpointError(
            f"The tokenizer in {folder} has no chat template: neither {TEMPLATE_FILE} nor {_PROCESSOR_TEMPLATE}, nor "
            f"one in {CONFIG_FILE}; {complete(folder / TEMPLATE_FILE)}."
        )


def read_template(folder: Path) -> str:
    """The chat template, a Jinja one; "" where there is none.

    Raises:
        CheckpointError: if the file that holds it can't be read.
    """
    path = folder / TEMPLATE_FILE
    if path.is_file():
        if sentence := impostor(path):
            raise CheckpointError(sentence)
        try:
            return path.read_text("utf-8-sig")
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} can't be read ({error}); {complete(path)}.") from error
    for name in (CONFIG_FILE, _PROCESSOR_TEMPLATE):
        if (folder / name).is_file() and (found := _default(read_json(folder / name).get("chat_template"))):
            return found
    return ""


def _default(template: object) -> str:
    """The template itself, or of several the one that is called so."""
    if isinstance(template, dict):
        template = template.get("default")
    if isinstance(template, list):
        named = (entry for entry in template if isinstance(entry, dict) and entry.get("name") == "default")
        template = next(named, {}).get("template")
    return template if isinstance(template, str) else ""


def _without_tokenizer_file(path: Path) -> str:
    folder = path.parent
    found = next((name for name in _OTHER_FORMS if (folder / name).is_file()), None)
    if found is None:
        return explain_missing(path)
    return (
        f"{path} is missing; there is {found}, {_OTHER_FORMS[found]}, from which transformers makes it: "
        f'AutoTokenizer.from_pretrained("{folder}").save_pretrained("{folder}").'
    )
