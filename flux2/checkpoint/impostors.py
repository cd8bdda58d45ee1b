"""Files that lie in the place of another one: the pointer that Git LFS leaves, the page that a browser saved."""

from __future__ import annotations

from pathlib import Path

_LOOKED_AT = 200  # bytes

_LFS = "is a Git LFS pointer and not the file itself; run `git lfs pull` in {folder}."
_PAGE = "is a web page and not the file itself; download it with `hf download`, or log in first."
_BEGINNINGS = {
    b"version https://git-lfs.github.com": _LFS,
    b"version https://hawser.github.com": _LFS,
    b"# xet version": "is a pointer of Xet's and not the file itself; run `git xet pull` in {folder}, or download it.",
    b"/annex/objects/": "is a pointer of git-annex and not the file itself; run `git annex get` in {folder}.",
    b"<!doctype html": _PAGE,
    b"<html": _PAGE,
    b"GGUF": "is a GGUF file and no safetensors one; name it by itself, as --model FILE.",
    b"PK\x03\x04": "is a zip archive, as PyTorch's .bin and .pt files are, and no safetensors file; use one of those.",
}


def impostor(path: Path) -> str:
    """One sentence on what the file is instead of what its name says, with the remedy; "" for none of these."""
    try:
        with path.open("rb") as file:
            start = file.read(_LOOKED_AT).lstrip()
    except OSError:
        return ""
    for beginning, sentence in _BEGINNINGS.items():
        if start[: len(beginning)].lower() == beginning.lower():
            return f"{path} {sentence.format(folder=path.parent)}"
    return ""
