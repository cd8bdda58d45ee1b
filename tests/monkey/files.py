"""What happens on the disk while the screen looks on: pictures, settings and themes come, change, break and go."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from flux2.paths import config_dir
from flux2.pictures.image_metadata import ImageMetadata
from flux2.pictures.images import save_png
from flux2.request import GenerationRequest

_PROMPTS = ("a red fox in the snow", "two [bold]cats[/bold]", "[/] a fox [//]", "ein Fuchs 🦊 im Schnee", "x" * 3000)
_NAMES = ("a [fox]", "[b]", "[", "fox", "Füchsin 🦊", "p{number}", "q{number}", "r{number}")
_SETTINGS = (
    "",
    'theme = "mist"\nseed = 3\n',
    "theme = ",
    '[keys]\ncancel = "ctrl+x"\nhelp = "f2"\n',
    '[keys]\ncancel = "m"\nrun = "nokey"\nnothing = "q"\n',
    'theme = "nothing"\nsteps = "many"\n[/b]\n',
    'theme = "mine"\nnotify = "bell"\n',
    "\x00\xff",
    "#" * 5000,
)
_THEME = """title = "[/b] Mine"
dark = true
[colors]
background = "#{color:06x}"
foreground = "#eeeeee"
accent = "#ffaa00"
"""
_BAD_THEMES = ("", "title = 3", '[colors]\nbackground = "[/b]"\n', "\x00")


def save_picture(path: Path, request: Mapping[str, Any]) -> Path:
    """What the worker saves; costs no drawing of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = ImageMetadata(request=GenerationRequest.from_dict(dict(request)), timings={"denoise": 1.0})
    return save_png(_image(0), path, metadata)


def happen(what: str, chance: random.Random, pictures: Path) -> None:
    """Let the disk change, in the way of this name in `HAPPENINGS`."""
    pictures.mkdir(parents=True, exist_ok=True)
    HAPPENINGS[what](chance, pictures)


def _appear(chance: random.Random, pictures: Path) -> None:
    for _ in range(chance.choice((1, 3, 12))):
        _new_path(chance, pictures).write_bytes(chance.choice(_kinds()))


def _vanish(chance: random.Random, pictures: Path) -> None:
    for path in chance.sample(found := _pictures(pictures), min(len(found), chance.choice((1, 2, 5)))):
        path.unlink()


def _vanish_all(_: random.Random, pictures: Path) -> None:
    shutil.rmtree(pictures)


def _damage(chance: random.Random, pictures: Path) -> None:
    """In place: cut, emptied, other bytes, another picture."""
    for path in chance.sample(found := _pictures(pictures), min(len(found), chance.choice((1, 3)))):
        data = path.read_bytes()
        path.write_bytes(chance.choice((data[: len(data) // 2], b"", data[:8] + data[8:][::-1], *_kinds()[:2])))


def _rename(chance: random.Random, pictures: Path) -> None:
    if found := _pictures(pictures):
        chance.choice(found).rename(_new_path(chance, pictures))


def _strange(chance: random.Random, pictures: Path) -> None:
    """What is no file: a folder, a link to nowhere or to itself, a FIFO."""
    path = _new_path(chance, pictures)
    make: tuple[Callable[[], object], ...] = (
        path.mkdir,
        lambda: path.symlink_to("/nowhere/fox.png"),
        lambda: path.symlink_to(path),
        lambda: os.mkfifo(path),
    )
    chance.choice(make)()


def _settings(chance: random.Random, _: Path) -> None:
    config_dir().mkdir(parents=True, exist_ok=True)
    (config_dir() / "settings.toml").write_text(chance.choice(_SETTINGS), "latin-1")


def _settings_gone(_: random.Random, __: Path) -> None:
    shutil.rmtree(config_dir(), ignore_errors=True)


def _theme(chance: random.Random, _: Path) -> None:
    folder = config_dir() / "themes"
    folder.mkdir(parents=True, exist_ok=True)
    good = _THEME.format(color=chance.randrange(1 << 24))
    name = chance.choice(("mine", "mine", "harbor", "[b]"))
    (folder / f"{name}.toml").write_text(chance.choice((good, good, *_BAD_THEMES)))


HAPPENINGS: dict[str, Callable[[random.Random, Path], None]] = {
    "appear": _appear,
    "vanish": _vanish,
    "vanish-all": _vanish_all,
    "damage": _damage,
    "rename": _rename,
    "strange": _strange,
    "settings": _settings,
    "settings-gone": _settings_gone,
    "theme": _theme,
}


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.png") if path.is_file())


def _new_path(chance: random.Random, folder: Path) -> Path:
    """A name that is free."""
    number = len(list(folder.iterdir()))
    path = folder / f"{chance.choice(_NAMES).format(number=number)}.png"
    while os.path.lexists(path):
        number += 1
        path = folder / f"{number}.png"
    return path if chance.random() > 0.1 else _in_folder(path)


def _in_folder(path: Path) -> Path:
    inner = path.parent / f"{path.name} day" / path.name
    inner.parent.mkdir(exist_ok=True)
    return inner


@cache
def _image(number: int) -> Image.Image:
    size = ((64, 64), (96, 32), (16, 128), (1, 1))[number % 4]
    return Image.new("RGB", size, (40 * number % 256, 90, 150))


@cache
def _kinds() -> tuple[bytes, ...]:
    """Pictures of ours, of others and of nobody, and what is none."""
    import io
    import tempfile

    made = []
    with tempfile.TemporaryDirectory() as folder:
        for number, prompt in enumerate(_PROMPTS):
            request = GenerationRequest(
                prompt=prompt,
                model="pocket",
                quantization=("bf16", "qint8", "int4")[number % 3],
                width=64,
                height=64,
                seed=7,
            )
            path = Path(folder) / f"{number}.png"
            save_png(_image(number), path, ImageMetadata(request=request, timings={"denoise": 1.0}))
            made.append(path.read_bytes())
    foreign = PngImagePlugin.PngInfo()
    foreign.add_text(
        "parameters", "a cat [/b]\nNegative prompt: dog\nSteps: 20, Sampler: Euler, Seed: 5, Size: 512x512"
    )
    for info in (None, foreign):
        file = io.BytesIO()
        _image(2).save(file, "PNG", pnginfo=info)
        made.append(file.getvalue())
    return (*made, made[0][:60], b"no picture [/b]", b"")
