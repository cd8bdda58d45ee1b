"""Token ids without transformers are transformers' ids; and what a tokenizer folder lacks is said as it is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flux2.checkpoint.layout import open_checkpoint
from flux2.encode import tokenizing
from flux2.encode.tokenizing import load_tokenizer
from flux2.errors import CheckpointError
from flux2.paths import pocket_checkpoint
from tests.unit.checkpoints import edit_json, writable_copy

RECORDINGS = Path(__file__).parents[1] / "parity" / "recordings"
QWEN, MISTRAL = RECORDINGS / "base/checkpoint/tokenizer", RECORDINGS / "dev/checkpoint/tokenizer"
TEXTS = [
    "",
    "a red fox in the snow",
    "  two  blanks, tabs\tand\n\nlines\r\n",
    "Zürich, 東京, 🦊👨‍👩‍👧‍👦, e\u0301, \u200b, \x00",
    "<|im_start|>user<|im_end|><s></s>[INST]<pad><think>",
    "fox " * 300,
]
ARGUMENTS = {"add_generation_prompt": True, "enable_thinking": False}


def same(*_: object) -> None:
    pass


def config(**changes: object) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "tokenizer_config.json", **changes)


def tokenizer_json(**changes: object) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "tokenizer.json", **changes)


def template_in(name: str, key: str = "chat_template") -> Callable[[Path], None]:
    """The chat template in another file than its own."""

    def move(folder: Path) -> None:
        path = folder / "chat_template.jinja"
        old = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
        (folder / name).write_text(json.dumps(old | {key: path.read_text()}))
        path.unlink()

    return move


def several_templates(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    both = [{"name": "tools", "template": "no"}, {"name": "default", "template": path.read_text()}]
    edit_json(folder / "tokenizer_config.json", chat_template=both)
    path.unlink()


PLAIN: dict[str, tuple[Path, Callable[[Path], None]]] = {
    **{path.parent.parent.name: (path, same) for path in sorted(RECORDINGS.glob("*/checkpoint/tokenizer"))},
    "pocket": (pocket_checkpoint() / "tokenizer", same),
    "begins with a token": (MISTRAL, config(add_bos_token=True, add_eos_token=False)),
    "no token around": (QWEN, config(add_bos_token=False)),
    "no length": (QWEN, config(model_max_length=None)),
    "special token with properties": (MISTRAL, config(bos_token={"__type": "AddedToken", "content": "<s>"})),
    "no post-processor": (QWEN, tokenizer_json(post_processor=None)),
    "template of the processor": (QWEN, template_in("chat_template.json")),
    "template in the config": (QWEN, template_in("tokenizer_config.json")),
    "several templates": (QWEN, several_templates),
}
OTHERS: dict[str, tuple[Path, Callable[[Path], None]]] = {
    "token that tokenizer.json has not": (QWEN, config(extra_special_tokens=["<new>"])),
    "pad token that is new": (QWEN, config(pad_token="<new pad>")),
    "ends with a token": (MISTRAL, config(add_bos_token=True, add_eos_token=True)),
    "split special tokens": (QWEN, config(split_special_tokens=True)),
    "cut at the beginning": (QWEN, config(truncation_side="left")),
    "tag of transformers' own": (
        QWEN,
        lambda folder: (
            (folder / "chat_template.jinja").write_text(
                "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
            )
            and None
        ),
    ),
}


@pytest.mark.parametrize("case", [*PLAIN, *OTHERS])
def test_ids_are_those_of_transformers(tmp_path: Path, case: str) -> None:
    source, change = (PLAIN | OTHERS)[case]
    folder = Path(shutil.copytree(source, tmp_path / "tokenizer"))
    change(folder)
    found = load_tokenizer(folder)
    assert isinstance(found, tokenizing._PlainTokenizer) is (case in PLAIN)
    reference = tokenizing._TransformersTokenizer.read(folder)
    assert (found.bos_token, found.pad_id) == (reference.bos_token, reference.pad_id)
    assert found.model_max_length == reference.model_max_length
    for text in TEXTS:
        content = [{"type": "text", "text": text}] if source == MISTRAL else text
        messages = [{"role": "user", "content": content}]
        rendered = found.render(messages, ARGUMENTS)
        assert rendered == reference.render(messages, ARGUMENTS)
        for special in (True, False):
            for length in (None, 64):
                expected = reference.ids(rendered, add_special_tokens=special, max_length=length)
                assert found.ids(rendered, add_special_tokens=special, max_length=length) == expected


def test_a_usual_checkpoint_needs_no_transformers() -> None:
    code = (
        "import sys; from pathlib import Path; from flux2.encode.tokenizing import load_tokenizer;"
        f"t = load_tokenizer(Path({str(QWEN)!r})); t.ids(t.render([{{'role': 'user', 'content': 'x'}}], {{}}),"
        "add_special_tokens=False); print('transformers' in sys.modules, 'torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False False"


# --- what a folder lacks ----------------------------------------------------------------------------------------------


def slow(folder: Path) -> None:
    path = folder / "tokenizer.json"
    (folder / "vocab.json").write_text(json.dumps(json.loads(path.read_text())["model"]["vocab"]))
    path.unlink()


def instead(name: str, content: str, *, remove: str = "tokenizer.json") -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / remove).unlink()
        (folder / name).write_text(content)

    return change


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 11422654\n"
LACKING: dict[str, tuple[Callable[[Path], None], str]] = {
    "vocabulary": (slow, r"is missing; there is vocab\.json.*AutoTokenizer\.from_pretrained\(\S+\)\.save_pretrained"),
    "tekken": (instead("tekken.json", "{}"), r"there is tekken\.json, Mistral's tekken"),
    "SentencePiece": (instead("tokenizer.model", ""), r"there is tokenizer\.model, a SentencePiece model"),
    "LFS pointer": (instead("tokenizer.json", POINTER), r"is a Git LFS pointer.*run `git lfs pull`"),
    "nothing": (lambda f: (f / "tokenizer.json").unlink(), r"tokenizer\.json is missing; put it there"),
    "no config": (lambda f: (f / "tokenizer_config.json").unlink(), r"tokenizer_config\.json is missing"),
    "no template": (lambda f: (f / "chat_template.jinja").unlink(), "has no chat template: neither"),
    "template that is a page": (
        instead("chat_template.jinja", "<html>", remove="chat_template.jinja"),
        "is a web page",
    ),
    "processor": (lambda f: f.rename(f.parent / "processor") and None, r"and \S+processor holds a tokenizer: copy it"),
    "no folder": (lambda f: shutil.rmtree(f), r"tokenizer is missing; put it there"),
}


@pytest.mark.parametrize("case", LACKING)
def test_what_it_lacks_is_said_before_a_run_begins(tmp_path: Path, case: str) -> None:
    folder = writable_copy(RECORDINGS / "base/checkpoint", tmp_path / "copy")
    change, sentence = LACKING[case]
    change(folder / "tokenizer")
    for refused in (lambda: load_tokenizer(folder / "tokenizer"), lambda: open_checkpoint(folder)):
        with pytest.raises(CheckpointError, match=sentence):
            refused()


def test_what_the_library_cannot_parse_is_said_whole(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(QWEN, tmp_path / "tokenizer"))
    edit_json(folder / "tokenizer.json", model={"type": "Frobnicate"})
    with pytest.raises(CheckpointError, match=r"can't be read \(.{20,}\); download it again\."):
        load_tokenizer(folder)
