"""Folders of the user's choice, for pictures and for models: a variable goes before a setting."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import platformdirs

from flux2.inputs.loras import ENDING
from flux2.paths import config_dir, expand
from flux2.settings import settings


def pictures_dir() -> Path:
    """Where pictures are saved: FLUX2_OUTPUT, the user's setting, or `flux2` in their pictures folder."""
    return _folder("FLUX2_OUTPUT", "output_folder", lambda: Path(platformdirs.user_pictures_dir()) / "flux2")


def models_dir() -> Path:
    """Where checkpoints from the Hub are kept, in its cache's layout: HF_HUB_CACHE, the user's setting, its default."""
    if (chosen := settings().models_folder) and not os.environ.get("HF_HUB_CACHE"):
        return _from_home(chosen)
    from huggingface_hub.constants import HF_HUB_CACHE  # here, for importing it takes a while

    return Path(HF_HUB_CACHE)


def loras_dir() -> Path:
    """Where LoRAs lie that are known by name: FLUX2_LORAS, the user's setting, or `loras` beside the settings."""
    return _folder("FLUX2_LORAS", "loras_folder", lambda: config_dir() / "loras")


def weights_dir() -> Path:
    """Where single files of weights lie: FLUX2_WEIGHTS, the user's setting, or `models` beside the settings."""
    return _folder("FLUX2_WEIGHTS", "weights_folder", lambda: config_dir() / "models")


def list_loras() -> list[Path]:
    """The files in the folder for LoRAs and in its folders, by name; none where it can't be read."""
    try:
        return sorted(path for path in loras_dir().rglob(f"*{ENDING}") if path.is_file())
    except OSError:
        return []


def lora_name(file: Path) -> str:
    """The name by which a file in that folder is known: its path there, without the ending."""
    return file.relative_to(loras_dir()).as_posix().removesuffix(ENDING)


def lora_named(name: str) -> Path | None:
    """The file in that folder that is called so: by its name there, else by its file's own, in either case."""
    files, wanted = list_loras(), name.replace("\\", "/").removesuffix(ENDING)
    stem = wanted.rpartition("/")[2].casefold()
    exact = (file for file in files if lora_name(file) == wanted)
    alike = (file for file in files if file.stem.casefold() == stem)
    return next(exact, None) or next(alike, None)


def models_dir_variable() -> str:
    """What `models_dir` follows, by the name under which the user can change it: a variable, or the setting."""
    if os.environ.get("HF_HUB_CACHE"):
        return "HF_HUB_CACHE"
    if settings().models_folder:
        return "the setting models_folder"
    return "HUGGINGFACE_HUB_CACHE" if os.environ.get("HUGGINGFACE_HUB_CACHE") else "HF_HOME"


def _folder(variable: str, setting: str, otherwise: Callable[[], Path]) -> Path:
    """The folder that a variable names, else the setting, else `otherwise`."""
    if chosen := os.environ.get(variable):
        return expand(chosen).absolute()
    if chosen := getattr(settings(), setting):
        return _from_home(chosen)
    return otherwise()


def _from_home(text: str) -> Path:
    """A folder of the settings, which know no current one."""
    return Path.home() / expand(text)
