"""Which files of a Hub repository are fetched: those that a run reads, of weights in several forms one."""

from __future__ import annotations

from collections.abc import Sequence

from flux2.architecture.model_names import suggestion
from flux2.checkpoint.files import CHECKPOINT_PARTS, INDEX_FILE, TOKENIZER, VAE_FILES, Part
from flux2.checkpoint.manifest import HubFile
from flux2.checkpoint.missing import other_forms
from flux2.checkpoint.tokenizer_files import TOKENIZER_FILE
from flux2.checkpoint.weight_files import READ_VARIANTS, WeightForm, readable_form, weight_forms
from flux2.errors import CheckpointError


def choose_files(repo: str, files: Sequence[HubFile], patterns: Sequence[str]) -> tuple[HubFile, ...]:
    """Those that a run reads, the smallest first: whatever makes the rest useless is known early.

    Args:
        repo: the repository's id.
        files: all that it has.
        patterns: of the files wanted, as in `fnmatch`.

    Raises:
        CheckpointError: if what would come could not be read: before a byte of it was fetched.
    """
    from huggingface_hub.utils import filter_repo_objects

    kept = list(filter_repo_objects(files, allow_patterns=list(patterns), key=lambda file: file.path))
    if INDEX_FILE in patterns:
        _check_layout(repo, {file.path for file in kept})
        places = {f"{part.folder}/": part for part in CHECKPOINT_PARTS.values() if part.weights}
    elif VAE_FILES[0] not in patterns:
        return _one_by_itself(repo, kept)
    else:
        if not kept:
            raise CheckpointError(f"{repo} has no {patterns[0]}: it is no autoencoder in the diffusers layout.")
        places = {"": CHECKPOINT_PARTS["vae"], "vae/": CHECKPOINT_PARTS["vae"]}
    unread = {path for place, part in places.items() for path in _unread(repo, part, files, place)}
    return tuple(sorted((file for file in kept if file.path not in unread), key=lambda file: file.size))


def _one_by_itself(repo: str, kept: Sequence[HubFile]) -> tuple[HubFile, ...]:
    """A file of weights that is wanted by itself, with what lies beside it.

    Raises:
        CheckpointError: if there is none, or more than one.
    """
    weights = sorted(file.path for file in kept if file.path.endswith(".safetensors"))
    if len(weights) != 1:
        named = f"several ({', '.join(weights[:8])}); name one of them as {repo}:{weights[0]}" if weights else ""
        raise CheckpointError(f"{repo} has {named or 'no such safetensors file; look at its page for the name'}.")
    folder = weights[0].rpartition("/")[0]
    beside = [file for file in kept if file.path.rpartition("/")[0] == folder]
    return tuple(sorted(beside, key=lambda file: file.size))


def _check_layout(repo: str, kept: set[str]) -> None:
    """Raises CheckpointError if the repository lacks what every checkpoint in the diffusers layout has."""
    if INDEX_FILE not in kept:
        meant = suggestion(repo)
        instead = f": choose {meant}, or another one that has it" if meant else ""
        raise CheckpointError(f"{repo} has no {INDEX_FILE}: it is no checkpoint in the diffusers layout{instead}.")
    if (tokenizer := f"{TOKENIZER}/{TOKENIZER_FILE}") not in kept:
        raise CheckpointError(f"{repo} has no {tokenizer}, without which no prompt is read; choose another one.")
    for part in CHECKPOINT_PARTS.values():
        if f"{part.folder}/{part.config}" not in kept:
            raise CheckpointError(
                f"{repo} has no {part.folder}/{part.config}: it is not a whole checkpoint; choose another one."
            )


def _unread(repo: str, part: Part, files: Sequence[HubFile], place: str) -> set[str]:
    """Paths of the weights, and their indexes, in all forms but the one that is read.

    Raises:
        CheckpointError: if there are weights, and none in a form that is read.
    """
    inside = (file.path.removeprefix(place) for file in files if file.path.startswith(place))
    names = [name for name in inside if "/" not in name]
    if place + part.config not in {file.path for file in files}:
        return set()
    forms = weight_forms(names, part.weights)
    chosen = readable_form(names, part.weights) or _of_unknown_shards(forms)
    if chosen is None:
        found = other_forms(names, part.weights)[0] or "no file of its weights"
        where = f"in {place}" if place else "at its top"
        raise CheckpointError(
            f"{repo} can't be read here, and nothing of it was downloaded: {where} there is {found}; "
            "choose a repository with bfloat16 safetensors files."
        )
    read = {chosen.index, *chosen.files}
    return {place + name for form in forms for name in (form.index, *form.files) if name and name not in read}


def _of_unknown_shards(forms: Sequence[WeightForm]) -> WeightForm | None:
    """A form whose index names its shards in another way than by numbers; which they are, its content says."""
    indexed = (form for form in forms if form.index and not form.count and form.variant in READ_VARIANTS)
    return next(indexed, None)
