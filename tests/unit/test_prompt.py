"""Prompts with the tokenizer of a small recorded checkpoint."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tokenizers import Tokenizer as Backend

from flux2.architecture.text_encoder import DEV_SYSTEM_MESSAGE, TEXT_ENCODERS
from flux2.encode.prompt import sequence_length, tokenize
from flux2.encode.tokenizing import Tokenizer, load_tokenizer
from flux2.errors import CheckpointError
from flux2.paths import pocket_checkpoint
from flux2.store.configs import find_networks
from tests.unit.checkpoints import edit_json

RECORDINGS = Path(__file__).parents[1] / "parity" / "recordings"
TOKENIZER = RECORDINGS / "base" / "checkpoint" / "tokenizer"
QWEN3, MISTRAL3 = (TEXT_ENCODERS[name].prompt_form for name in ("Qwen3ForCausalLM", "Mistral3ForConditionalGeneration"))

AT_ONCE = """
import threading
from flux2.encode.tokenizing import import_transformers

faults = []

def ask():
    try:
        import_transformers()
    except ImportError as error:
        faults.append(error)

threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(faults)
"""


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(TOKENIZER)


def test_it_may_be_asked_for_by_several_threads_at_once() -> None:
    """Two threads ask: the worker as it starts, and whoever counts a prompt that is typed meanwhile."""
    ended = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def text_of(folder: Path, ids: npt.NDArray[np.int32]) -> str:
    return str(Backend.from_file(str(folder / "tokenizer.json")).decode(ids.tolist(), skip_special_tokens=False))


def copy_of_the_tokenizer(folder: Path) -> Path:
    return Path(shutil.copytree(TOKENIZER, folder / "tokenizer"))


def test_a_prompt_becomes_one_user_turn_padded_right(tokenizer: Tokenizer) -> None:
    tokens = tokenize(tokenizer, "a red fox", QWEN3)
    used = int(tokens.attention_mask.sum())
    assert tokens.input_ids.shape == tokens.attention_mask.shape == (1, 64)
    assert tokens.attention_mask[0, :used].all()
    assert (tokens.input_ids[0, used:] == tokenizer.pad_id).all()
    assert tokens.dropped == 0
    assert text_of(TOKENIZER, tokens.input_ids[0, :used]) == (
        "<|im_start|>user\na red fox<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )


def test_length_is_the_checkpoints_up_to_512_or_as_asked(tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert (sequence_length(tokenizer), sequence_length(tokenizer, 512)) == (64, 512)
    assert tokenize(tokenizer, "a red fox", QWEN3, 512).input_ids.shape == (1, 512)
    folder = copy_of_the_tokenizer(tmp_path)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    for recorded in (131_072, None):  # as in the published checkpoints; not recorded at all
        (folder / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": recorded}))
        assert sequence_length(load_tokenizer(folder)) == 512


@pytest.mark.parametrize("length", ["many", 0, -5, [64]])
def test_a_length_that_is_none_is_said(tmp_path: Path, length: object) -> None:
    folder = Path(shutil.copytree(pocket_checkpoint(), tmp_path / "model"))
    edit_json(folder / "tokenizer/tokenizer_config.json", model_max_length=length)
    for read in (lambda: load_tokenizer(folder / "tokenizer"), lambda: find_networks(str(folder))):
        with pytest.raises(CheckpointError, match=f"says model_max_length {re.escape(repr(length))}, no length"):
            read()


def test_no_length_is_any_length(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(pocket_checkpoint(), tmp_path / "model"))
    for length in (None, 1e30):
        edit_json(folder / "tokenizer/tokenizer_config.json", model_max_length=length)
        assert find_networks(str(folder)).text_tokens == 512


def test_the_empty_prompt_is_a_turn_too(tokenizer: Tokenizer) -> None:
    assert tokenize(tokenizer, "", QWEN3).attention_mask.sum() > 0


def test_tells_how_much_of_a_long_prompt_is_cut(tokenizer: Tokenizer) -> None:
    tokens = tokenize(tokenizer, "a red fox in the snow " * 20, QWEN3)
    whole = tokenize(tokenizer, "a red fox in the snow " * 20, QWEN3, 512)
    assert tokens.attention_mask.all()
    assert whole.dropped == 0
    assert tokens.dropped == whole.attention_mask.sum() - 64
    assert (tokens.input_ids == whole.input_ids[:, :64]).all()


def test_refuses_a_tokenizer_that_is_missing_broken_or_without_template(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="tokenizer is missing; put it there"):
        load_tokenizer(tmp_path / "tokenizer")
    folder = copy_of_the_tokenizer(tmp_path)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="can't be read"):
        load_tokenizer(folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match="no chat template"):
        load_tokenizer(folder)


def test_devs_prompt_follows_its_system_message_padded_left() -> None:
    folder = RECORDINGS / "dev" / "checkpoint" / "tokenizer"  # with the configs of a processor of pictures in it
    dev = load_tokenizer(folder)
    tokens = tokenize(dev, "a red [IMG]fox", MISTRAL3, 256)
    padding = 256 - int(tokens.attention_mask.sum())
    assert (tokens.input_ids[0, :padding] == dev.pad_id).all()
    assert tokens.attention_mask[0, padding:].all()
    assert text_of(folder, tokens.input_ids[0, padding:]) == (
        f"<s>[SYSTEM_PROMPT]{DEV_SYSTEM_MESSAGE}[/SYSTEM_PROMPT][INST]a red fox[/INST]"
    )


def test_a_prompt_is_never_rendered_by_code_of_the_checkpoint(tmp_path: Path) -> None:
    folder = copy_of_the_tokenizer(tmp_path)
    (folder / "chat_template.jinja").write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(CheckpointError, match=r"chat template .* can't be used"):
        tokenize(load_tokenizer(folder), "a red fox", QWEN3)


def test_a_tokenizer_is_taken_to_the_letter_whatever_class_its_folder_names(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(RECORDINGS / "dev" / "checkpoint" / "tokenizer", tmp_path / "tokenizer"))
    edit_json(folder / "tokenizer_config.json", tokenizer_class="LlamaTokenizerFast", backend=None)
    text = "A red Fox's café  123"
    as_it_is = load_tokenizer(RECORDINGS / "dev" / "checkpoint" / "tokenizer")
    assert load_tokenizer(folder).ids(text, add_special_tokens=True) == as_it_is.ids(text, add_special_tokens=True)


def test_a_tokenizer_needs_no_torch() -> None:
    program = f"""
import sys
from pathlib import Path
from flux2.architecture.text_encoder import TEXT_ENCODERS
from flux2.encode.prompt import tokenize
from flux2.encode.tokenizing import load_tokenizer
tokenize(load_tokenizer(Path({str(RECORDINGS / "dev" / "checkpoint" / "tokenizer")!r})), "a fox",
         TEXT_ENCODERS["Mistral3ForConditionalGeneration"].prompt_form)
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
