"""The user's settings: a TOML file in their configuration folder, read by the screen, the command line and the worker.

    theme = "paper"
    output_name = "{date}/{prompt}-{seed}"

    [keys]
    cancel = "ctrl+x"

Whatever is wrong in it is said with its line, and the rest is used. `Settings` is the schema: a field per setting, with
its default, what it means and what it may be.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from flux2.errors import Flux2Error
from flux2.humanize import parse_size
from flux2.inputs.checks import AUTO, QUANTIZATIONS, RESIDENCIES
from flux2.paths import config_dir

KEYS = "keys"
"""The table of the user's own keys."""
NAME_FIELDS = ("prompt", "seed", "model", "quantization", "width", "height", "steps", "date", "time")
"""What a picture's file name may be made of."""
GRAPHICS = ("auto", "halfcell", "kitty", "sixel", "none")
NOTICES = ("off", "bell", "osc9", "osc777")
MAX_FPS = 60

_MAX_REPAIRS = 20
"""Faulty lines that are left out before the rest is given up, too."""
_AT_LINE = re.compile(r"\(at (?:line (\d+)|end of document)")
_TABLE = re.compile(r"\s*\[([^\[\]]+)\]")
_ASSIGNMENT = re.compile(r"\s*([\w.\"'-]+)\s*=")


class SettingsError(Flux2Error):
    """The settings can't be written; says why."""


def _setting(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    check: Callable[[Any], str] = lambda _: "",
    variable: str = "",
) -> Any:
    """A field of `Settings`.

    Args:
        help: one line, for the settings' screen and the file.
        choices: all that it may be; () for no such list.
        check: what is wrong with a value of the right type, in a sentence that follows the name; "" for nothing.
        variable: of the environment; where it is set, it goes before the file.
    """
    return field(default=default, metadata={"help": help, "choices": choices, "check": check, "variable": variable})


def _check_fps(value: int) -> str:
    return "" if 0 <= value <= MAX_FPS else f"is out of range; choose 1 to {MAX_FPS}, or 0 for what suits the terminal"


def _check_name(pattern: str) -> str:
    unknown = [name for name in re.findall(r"\{([^{}]*)\}", pattern) if name not in NAME_FIELDS]
    if unknown:
        return f"has no {{{unknown[0]}}}; use " + ", ".join(f"{{{name}}}" for name in NAME_FIELDS)
    if re.sub(r"\{[^{}]*\}", "", pattern).count("{") or pattern.startswith(("/", "~")) or ".." in pattern.split("/"):
        return "must be a name, with folders below the output folder at most"
    return "" if pattern.strip(" /.") else "is empty; use {prompt}-{seed}"


def _check_size(text: str) -> str:
    try:
        if text:
            parse_size(text)
    except ValueError:
        return "is not a size; write 12GB or 11500MiB"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, each "" or 0 where the program is to choose."""

    model: str = _setting("", "Model of the first picture: a catalog name, a Hub repository or a folder")
    quantization: str = _setting("bf16", "How weights are kept in memory at first", choices=(AUTO, *QUANTIZATIONS))
    residency: str = _setting(
        "resident", "The transformer in memory as a whole, or read block by block", choices=(AUTO, *RESIDENCIES)
    )
    keep_text_encoder: bool = _setting(False, "Keep the text encoder in memory between prompts, where there is room")
    memory_budget: str = _setting(
        "",
        "What runs may take, as 12GB; empty for what the machine recommends",
        check=_check_size,
        variable="FLUX2_MEMORY_BUDGET",
    )
    models_folder: str = _setting(
        "", "Where models are kept; empty for the Hugging Face cache", variable="HF_HUB_CACHE"
    )
    weights_folder: str = _setting(
        "", "Where single files of weights lie; empty for models/ beside the settings", variable="FLUX2_WEIGHTS"
    )
    loras_folder: str = _setting("", "Where LoRAs lie; empty for loras/ beside the settings", variable="FLUX2_LORAS")
    output_folder: str = _setting(
        "", "Where pictures are saved; empty for your pictures folder", variable="FLUX2_OUTPUT"
    )
    output_name: str = _setting(
        "{prompt}-{seed}",
        "Name of a picture's file; also {model} {quantization} {width} {height} {steps} {date} {time}",
        check=_check_name,
    )
    theme: str = _setting("", "Colours of the screen; empty for the usual ones")
    graphics: str = _setting(AUTO, "How finished pictures are drawn in the terminal", choices=GRAPHICS)
    fps: int = _setting(0, "Most redraws per second; 0 for what suits the terminal", check=_check_fps)
    notify: str = _setting(
        "off", "How the terminal tells of an end: a bell, or a message by OSC 9 or 777", choices=NOTICES
    )
    notify_when: str = _setting("queue", "Tell of the end of every run, or of the queue", choices=("run", "queue"))
    keys: Mapping[str, str] = field(default_factory=dict)
    """Keys of the user's own, by the id of what they do; several are separated by commas."""


SETTINGS: tuple[Field[Any], ...] = tuple(item for item in fields(Settings) if item.name != KEYS)


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What was read."""

    settings: Settings = field(default_factory=Settings)
    complaints: tuple[str, ...] = ()
    """What is wrong, a sentence each with its line; what they speak of was left out."""
    lines: Mapping[str, int] = field(default_factory=dict)
    """Where each value stands, by name; those of the keys as `keys.cancel`."""


def settings_path() -> Path:
    return config_dir() / "settings.toml"


def settings() -> Settings:
    """The settings as they are now; what is wrong with them is the screen's to tell."""
    return read_settings().settings


def read_settings(path: Path | None = None) -> SettingsFile:
    """Read the file; where there is none, the defaults."""
    path = path or settings_path()
    try:
        found = path.stat()
        if found.st_uid not in (os.geteuid(), 0) or found.st_mode & stat.S_IWOTH:
            return SettingsFile(complaints=(f"{path} can be written by other users; the defaults are used.",))
        return _read(path, found.st_mtime_ns)
    except FileNotFoundError:
        return SettingsFile()
    except (OSError, UnicodeDecodeError) as error:
        return SettingsFile(complaints=(f"{path} can't be read ({error}); the defaults are used.",))


@lru_cache(maxsize=4)
def _read(path: Path, stamp: int) -> SettingsFile:  # noqa: ARG001 — another stamp is another file
    text = path.read_text("utf-8")
    data, complaints = _parse(path.name, text)
    lines = line_numbers(text)
    values: dict[str, Any] = {}
    known = {item.name: item for item in SETTINGS}
    for name, value in data.items():
        line = lines.get(name, 1)
        if name == KEYS:
            values[KEYS] = _read_keys(path.name, value, lines, complaints)
        elif name not in known:
            complaints.append(f"{path.name} line {line}: {name!r} is no setting; there are {', '.join(known)}.")
        elif complaint := complaint_about(known[name], value):
            complaints.append(f"{path.name} line {line}: {complaint}")
        else:
            values[name] = value
    return SettingsFile(Settings(**values), tuple(complaints), lines)


def _parse(name: str, text: str) -> tuple[dict[str, Any], list[str]]:
    """The file's content without the lines that are no TOML, and a sentence for each of those."""
    lines = text.splitlines()
    complaints: list[str] = []
    for _ in range(_MAX_REPAIRS):
        try:
            return tomllib.loads("\n".join(lines)), complaints
        except tomllib.TOMLDecodeError as error:
            found = _AT_LINE.search(str(error))
            number = min(int(found[1]) if found and found[1] else len(lines), len(lines))
            complaints.append(f"{name} line {number}: {str(error).split(' (at ')[0]}; the line is left out.")
            lines[number - 1] = ""
    return {}, [*complaints, f"{name}: too many lines are no TOML; the defaults are used."]


def line_numbers(text: str) -> dict[str, int]:
    """The line, from 1, on which each key of a TOML text stands; keys within a table by `table.key`."""
    numbers: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _TABLE.match(line):
            table = header[1].strip() + "."
            numbers.setdefault(table[:-1], number)
        elif assignment := _ASSIGNMENT.match(line):
            numbers.setdefault(table + assignment[1].strip("\"'"), number)
    return numbers


def complaint_about(item: Field[Any], value: object) -> str:
    """What is wrong with a setting's value, in a sentence; "" for nothing."""
    kind = type(item.default)
    if type(value) is not kind:
        wanted = {str: 'a text in "quotes"', int: "a whole number", bool: "true or false"}[kind]
        return f"{item.name} is {value!r:.60}; write {wanted}."
    choices = item.metadata["choices"]
    if choices and value not in choices:
        return f"{item.name} is {value!r:.60}; choose {', '.join(choices)}."
    fault = item.metadata["check"](value)
    return f"{item.name} = {value!r:.60} {fault}." if fault else ""


def _read_keys(file: str, table: object, lines: Mapping[str, int], complaints: list[str]) -> dict[str, str]:
    if not isinstance(table, dict):
        complaints.append(f"{file} line {lines.get(KEYS, 1)}: keys must be a table, [keys].")
        return {}
    keys: dict[str, str] = {}
    for name, value in table.items():
        parts = value if isinstance(value, list) else [value]
        if parts and all(isinstance(part, str) and part.strip() for part in parts):
            keys[name] = ",".join(part.replace(" ", "") for part in parts)
        else:
            line = lines.get(f"{KEYS}.{name}", 1)
            complaints.append(f'{file} line {line}: {name} is {value!r:.60}; write a key, as "ctrl+x", or a list.')
    return keys


def overridden(item: Field[Any]) -> str:
    """The environment's variable that goes before this setting now; "" for none."""
    variable: str = item.metadata["variable"]
    return variable if variable and os.environ.get(variable) else ""


def write_setting(name: str, value: str | int | bool, path: Path | None = None) -> None:
    """Change one setting in the file and leave everything else of it, comments included, as it is.

    Raises:
        SettingsError: if the file is no TOML, or can't be written.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    from flux2.disk.atomic import changing, write_atomically
    from flux2.disk.private import make_private

    path = (path or settings_path()).resolve()  # a link stays one, to somebody's dotfiles
    try:
        make_private(config_dir())
        path.parent.mkdir(parents=True, exist_ok=True)
        with changing(path):
            text = path.read_text("utf-8") if path.exists() else template()
            text = re.sub(rf"(?m)^# {name} = .*$", lambda _: f"{name} = {_toml(value)}", text, count=1)
            document = tomlkit.parse(text)
            document[name] = value
            write_atomically(path, tomlkit.dumps(document).encode())
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} can't be changed, for it is no TOML ({error}); correct it first.") from error
    except OSError as error:
        raise SettingsError(f"{path} can't be written ({error.strerror or error}).") from error


def template() -> str:
    """A settings file in which every setting is explained and none is set."""
    lines = ["# Settings of flux2-tui. Remove a # to set one; the values shown are the defaults.", ""]
    for item in SETTINGS:
        choices = item.metadata["choices"]
        lines += [f"# {item.metadata['help']}" + (f": {', '.join(choices)}" if choices else "") + "."]
        lines += [f"# {item.name} = {_toml(item.default)}", ""]
    return "\n".join(
        [*lines, "# Keys of your own, by the names that the help page shows.", f"[{KEYS}]", '# cancel = "x"', ""]
    )


def _toml(value: object) -> str:
    return json.dumps(value)  # of texts, whole numbers and booleans TOML's form is JSON's
