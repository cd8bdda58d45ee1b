"""A model put together: a single file, or what mflux saved, with the other parts of the model that it is of."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from flux2.architecture.text_encoder import find_text_encoder
from flux2.checkpoint.files import CHECKPOINT_PARTS, INDEX_FILE, TOKENIZER, missing_file
from flux2.checkpoint.json_file import read_json
from flux2.checkpoint.missing import what_lies_here
from flux2.checkpoint.model_files import MFLUX_STEM, ModelFiles, PartFiles, files_of_part
from flux2.checkpoint.single_file import Contents, look_into, stored_shapes
from flux2.checkpoint.tokenizer_files import TOKENIZER_FILE
from flux2.checkpoint.weight_files import read_placing
from flux2.errors import CheckpointError, RequestError
from flux2.paths import expand
from flux2.store.base_model import BaseModel, alike, choose_base, published_files, read_base
from flux2.store.local import exists, find_local, find_local_vae

FindRest = Callable[[str, frozenset[str]], Path | None]
"""The folder with the other parts of a model, of this name, than these; None where it is not here and need not be."""

_WANTED = {"vae": "an autoencoder", "text_encoder": "a text encoder", "transformer": "a transformer"}
_INDEX = f"{MFLUX_STEM}.safetensors.index.json"


def single_place(model: str) -> Path | None:
    """The single file, or the folder that mflux saved, which a user named; None for anything else."""
    path = expand(model)
    if not exists(path):
        return None
    return path.absolute() if path.is_file() or is_mflux(path) else None


def is_mflux(folder: Path) -> bool:
    """Whether a folder is a model as mflux saves it: parts with an index of its own, and no configs."""
    transformer = folder / "transformer"
    return (
        not (folder / INDEX_FILE).exists()
        and not (transformer / "config.json").exists()
        and (transformer / _INDEX).is_file()
    )


def assemble(
    place: Path,
    base: str | None,
    find_rest: FindRest,
    *,
    vae: str | None = None,
    text_encoder: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[ModelFiles, BaseModel]:
    """All parts of the model whose transformer lies in this place, and the model that it is of.

    Args:
        base: what the user says that it is of.
        find_rest: finds the other parts.
        vae, text_encoder: what the request names in place of the model's own, which are then not looked for.
        say: told what was taken from the file's name alone.

    Raises:
        RequestError: if it can't be told what it is of.
        CheckpointError: if a file is damaged, or no transformer of FLUX.2.
    """
    contents = transformer_of(place)
    name, by_name = choose_base(contents, base)
    if by_name:
        say(f"{place.name} is taken for {name} by its name; --base says otherwise.")
    model = read_base(name)
    parts = _saved_by_mflux(place, model) if place.is_dir() else {}
    own_tokenizer = (place / TOKENIZER / TOKENIZER_FILE).is_file()
    replaced = {part for part, other in (("vae", vae), ("text_encoder", text_encoder)) if other}
    without = frozenset({"transformer", *parts, *replaced} | ({TOKENIZER} if own_tokenizer else set()))
    rest = None if without >= {*CHECKPOINT_PARTS, TOKENIZER} else find_rest(name, without)
    for part in CHECKPOINT_PARTS:
        if rest and part not in without:
            parts[part] = files_of_part(rest / part, part)
    parts["transformer"] = _transformer_files(contents, rest, model)
    tokenizer = place / TOKENIZER if own_tokenizer else rest / TOKENIZER if rest else None
    known = published_files(model).parts
    return ModelFiles(place=place, index=model.index, parts={**known, **parts}, tokenizer=tokenizer), model


def refuse_base(model: str, base: str | None) -> None:
    """Raises RequestError where a base is named beside a model that is whole by itself."""
    if base:
        raise RequestError(f"--base says what a single file is of, and {model} is none; leave it out.")


def with_others(files: ModelFiles, vae: PartFiles | None, text_encoder: str | None) -> ModelFiles:
    """A model with the autoencoder and the text encoder that a request names in place of its own.

    Raises:
        RequestError: if there is no such text encoder.
        CheckpointError: if it is damaged, or another kind of file.
    """
    if vae:
        files = files.with_part("vae", vae)
    if text_encoder:
        files = files.with_part("text_encoder", _text_encoder(text_encoder, files.parts["text_encoder"]))
    return files


def vae_in(place: Path, own: PartFiles) -> PartFiles:
    """The autoencoder in a folder, or in a single file, which has the rest of its config from the model's own.

    Raises:
        CheckpointError: if it can't be read, or is something else.
    """
    return files_of_part(place, "vae") if place.is_dir() else _part_in(place, "vae", own)


def local_vae(vae: str) -> Path | None:
    """The folder or single file of an autoencoder on this machine; None where there is none of that name."""
    path = expand(vae)
    return path.absolute() if exists(path) and path.is_file() else find_local_vae(vae)


def local_rest(base: str, without: Collection[str]) -> Path | None:
    """The folder on this machine with the other parts of a model, or of one that has the same; None for none."""
    folders = [folder for name in alike(base) if (folder := find_local(name))]
    return next((folder for folder in folders if missing_file(folder, without) is None), None)


def transformer_of(place: Path) -> Contents:
    """What a single file, or a folder that mflux saved, holds of a transformer.

    Raises:
        CheckpointError: if it is damaged, or something else.
    """
    if not place.is_dir():
        contents = look_into(place)
        if contents.part != "transformer":
            what, option = _WANTED[contents.part], contents.part.replace("_", "-")
            raise CheckpointError(f"{place} is {what} and no whole model; give it as --{option}, with a --model.")
        return contents
    return Contents(place / "transformer", "transformer", "mflux", "", _mflux_shapes(place / "transformer"))


def _mflux_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for name in sorted(set(read_placing(folder / _INDEX).values())):
        found |= stored_shapes(folder / name)
    return found


def _transformer_files(contents: Contents, rest: Path | None, base: BaseModel) -> PartFiles:
    """The file's place, with the config of the transformer that it takes the place of, and its own sizes."""
    config = rest / "transformer" / "config.json" if rest else None
    known = read_json(config) if config and config.is_file() else base.configs["transformer"]
    return PartFiles(
        place=contents.path,
        config={**known, **contents.sizes()},
        config_path=contents.path,
        spelling=contents.spelling,
        prefix=contents.prefix,
    )


def _saved_by_mflux(place: Path, base: BaseModel) -> dict[str, PartFiles]:
    """The other parts of a folder that mflux saved."""
    found = {
        "scheduler": PartFiles(place=place, config=base.configs["scheduler"], config_path=place),
    }
    for part in ("vae", "text_encoder"):
        if (place / part / _INDEX).is_file():
            config = base.configs[part]
            found[part] = PartFiles(place=place / part, config=config, config_path=place / part, spelling="mflux")
    return found


def _text_encoder(named: str, own: PartFiles) -> PartFiles:
    path = expand(named)
    if exists(path) and path.is_file():
        part = _part_in(path.absolute(), "text_encoder", own)
        _check_width(path, own)
        return part
    folder = find_local(named)
    places = (folder / "text_encoder", folder) if folder else ()
    if place := next((place for place in places if (place / "config.json").is_file()), None):
        return files_of_part(place, "text_encoder")
    if folder:
        raise RequestError(f"There is no text encoder in {folder}; {what_lies_here(folder)}")
    raise RequestError(f"There is no text encoder {named!r} here; name its folder, with config.json, or its file.")


def _check_width(path: Path, own: PartFiles) -> None:
    """Raises CheckpointError if a file's text encoder is not as wide as the model's, whose config it goes by."""
    norm = "layers.0.input_layernorm.weight"
    width = next((shape[0] for name, shape in stored_shapes(path).items() if name.endswith(norm) and shape), 0)
    wanted = find_text_encoder(own.config, str(own.config_path)).read_config(own.config).hidden_size
    if width not in (0, wanted):
        raise CheckpointError(
            f"{path} is a text encoder of width {width}, and the model's is {wanted} wide; use the one it was made for."
        )


def _part_in(path: Path, part: str, own: PartFiles) -> PartFiles:
    contents = look_into(path)
    if contents.part != part:
        raise CheckpointError(
            f"{path} is {_WANTED[contents.part]}, where {_WANTED[part]} is wanted; give it as "
            f"--{'model' if contents.part == 'transformer' else contents.part.replace('_', '-')}."
        )
    config = {**own.config, **contents.sizes()}
    return replace(own, place=path, config=config, config_path=path, spelling=contents.spelling, prefix=contents.prefix)
