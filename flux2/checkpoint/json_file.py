"""A config file's JSON, and the sentence for each way in which there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flux2.checkpoint.impostors import impostor
from flux2.checkpoint.remedies import complete, fetch_again
from flux2.errors import CheckpointError

MAX_BYTES = 256 << 20
"""Bytes of the largest file that is read whole; the largest tokenizers have some 20 MB."""


def read_json(path: Path, remedy: str = "") -> dict[str, Any]:
    """The object that a JSON file holds.

    Args:
        path: of the file.
        remedy: what to do where it is missing, in place of what its folder suggests.

    Raises:
        CheckpointError: one sentence, if it is missing, can't be read, or holds no object.
    """
    try:
        if path.exists() and not path.is_file():
            raise CheckpointError(f"{path} is no file; put the file of this name there.")
        if path.exists() and path.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"{path} is larger than any config file ({path.stat().st_size:,} bytes).")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        if path.is_symlink():
            raise CheckpointError(f"{path} is a link to {path.readlink()}, which is gone; {complete(path)}.") from error
        raise CheckpointError(f"{path} is missing; {remedy or complete(path) + '.'}") from error
    except OSError as error:
        raise CheckpointError(f"{path} can't be read ({error.strerror or error}); check the disk.") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(impostor(path) or f"{path} is not valid JSON ({error}); {fetch_again(path)}.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a JSON object; {fetch_again(path)}.")
    return content
