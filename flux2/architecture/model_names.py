"""Which model a name means, whoever wrote it: a user at `--model`, another program in a picture, a repository, a file.

A name is read by its words, never by a part of one: `flux_2_klein_9b_base` is klein-base-9b, `FLUX.1-dev` is another
family than `FLUX.2-dev`, and `devilMix` is nobody that is known here. `FAMILIES` is the only table of them.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass

from flux2.architecture.catalog import MODELS, is_repo_id

MAX_NAME = 500
"""Characters of a name that are looked at."""


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the table: the words that a name of this family has."""

    title: str
    """Name for people, as its makers write it."""
    words: tuple[str, ...]
    """All of them have to be there, in any order; "9 b" are two in a row, as in `9B`, `9-b`."""
    card: str = ""
    """Name in the catalog; "" for what is not in it."""
    base: str = ""
    """Catalog name of what it is a variation of; "" for none."""
    also: tuple[str, ...] = ()
    """Words that a name may have, too, and means the same."""
    alone: bool = False
    """True where the words mean this family only if the name has no others."""


_KLEIN = ("flux 2", "flux")
_KLEIN_DISTILLED = (*_KLEIN, "distilled")
_FLUX1 = ("flux 1", "1")

FAMILIES: tuple[Family, ...] = (
    # FLUX.2. "klein" needs no "flux" beside it where a size is: no other family has a Klein.
    Family("FLUX.2 klein 9B KV", ("klein", "9 b", "kv"), card="klein-9b-kv", also=_KLEIN_DISTILLED),
    Family("FLUX.2 klein base 9B", ("klein", "9 b", "base"), card="klein-base-9b", also=_KLEIN),
    Family("FLUX.2 klein base 4B", ("klein", "4 b", "base"), card="klein-base-4b", also=_KLEIN),
    Family("FLUX.2 klein 9B", ("klein", "9 b"), card="klein-9b", also=_KLEIN_DISTILLED),
    Family("FLUX.2 klein 4B", ("klein", "4 b"), card="klein-4b", also=_KLEIN_DISTILLED),
    Family("FLUX.2 klein", ("klein", "flux"), also=_KLEIN),
    Family("FLUX.2 klein", ("klein",), alone=True),
    Family("FLUX.2 dev", ("flux 2", "dev"), card="dev", also=("32 b",)),
    Family("FLUX.2 small decoder", ("flux 2", "small decoder")),
    Family("FLUX.2 pro", ("flux 2", "pro")),
    Family("FLUX.2 flex", ("flux 2", "flex")),
    Family("FLUX.2 max", ("flux 2", "max")),
    Family("FLUX.2", ("flux 2",)),
    Family("pocket", ("pocket",), card="pocket", alone=True),
    # FLUX.1 and what was made of it. A "dev" without a number is its: FLUX.2 came later.
    Family("Chroma", ("chroma",)),
    Family("FLUX.1 Kontext dev", ("kontext",)),
    Family("FLUX.1 Krea dev", ("flux", "krea")),
    Family("FLUX.1 Krea dev", ("krea", "dev")),
    Family("FLUX.1 Fill dev", ("flux", "fill")),
    Family("FLUX.1 Fill dev", ("dev", "fill"), alone=True),
    Family("FLUX.1 Redux dev", ("flux", "redux")),
    Family("FLUX.1 Redux dev", ("dev", "redux"), alone=True),
    Family("FLUX.1 Depth dev", ("flux", "depth")),
    Family("FLUX.1 Depth dev", ("dev", "depth"), alone=True),
    Family("FLUX.1 Canny dev", ("flux", "canny")),
    Family("FLUX.1 schnell", ("schnell",), also=(*_FLUX1, "flux")),
    Family("FLUX.1 dev", ("flux", "dev"), also=_FLUX1),
    Family("FLUX.1 dev", ("dev",), alone=True),
    Family("FLUX.1 pro", ("flux", "pro")),
    Family("FLUX.1", ("flux",), also=_FLUX1),
    # Others.
    Family("Stable Diffusion XL", ("sdxl",)),
    Family("Stable Diffusion XL", ("sd xl",)),
    Family("Stable Diffusion XL", ("stable diffusion xl",)),
    Family("Stable Diffusion XL", ("pony", "diffusion")),
    Family("Stable Diffusion XL", ("illustrious",)),
    Family("Stable Diffusion XL", ("noobai",)),
    Family("Stable Diffusion 3", ("sd 3",)),
    Family("Stable Diffusion 3", ("stable diffusion 3",)),
    Family("Stable Diffusion 2", ("sd 2",)),
    Family("Stable Diffusion 2", ("stable diffusion 2",)),
    Family("Stable Diffusion 1", ("sd 1",)),
    Family("Stable Diffusion 1", ("sd 15",)),
    Family("Stable Diffusion 1", ("v 1 5",)),
    Family("Stable Diffusion 1", ("stable diffusion v 1",)),
    Family("Stable Diffusion", ("stable diffusion",)),
    Family("Qwen-Image", ("qwen image",)),
    Family("Z-Image", ("z image",)),
    Family("HiDream", ("hidream",)),
    Family("Hunyuan", ("hunyuan",)),
    Family("PixArt", ("pixart",)),
    Family("Wan", ("wan 2",)),
)
"""All families, those with more words first: the first whose words a name has is the one it means."""


@dataclass(frozen=True, slots=True)
class NamedModel:
    """What a name says."""

    family: str = ""
    """Name of the family for people ("FLUX.1 dev"); "" for a name that says none."""
    card: str = ""
    """Catalog name, where the name means just that model, however stored; "" else."""
    base: str = ""
    """Catalog name of the model that this one is, or is made of ("klein-9b" for a fine-tune of it); "" for neither."""
    extra: tuple[str, ...] = ()
    """Words that say something else: of a fine-tune, a version."""
    storage: tuple[str, ...] = ()
    """Words that say how the weights are kept ("fp 8", "gguf"), or by whom packed."""


def read_name(name: str) -> NamedModel:
    """The model that a name of a file, a repository or another program's setting means; all "" where it says nothing.

    Bare `dev` is FLUX.1's here, as programs older than FLUX.2 write it; `catalog_name` has the user's meaning.

    >>> read_name("flux_2_klein_9b_base").card, read_name("flux1-dev-fp8.safetensors").family
    ('klein-base-9b', 'FLUX.1 dev')
    """
    path = re.sub(r"\[[0-9a-fA-F]{6,64}\]|<[^>]*>", " ", name[:MAX_NAME]).replace("\\", "/").strip("/ ")
    last = path.rpartition("/")[2]
    words, storage = _set_apart(_words(last), _STORAGE)
    for row in FAMILIES:
        if (extra := _words_beside(row, words)) is not None:
            if row.alone and last != path:
                continue  # the folders may say more: flux2/dev.safetensors
            exact = not extra
            return NamedModel(row.title, row.card if exact else "", row.card or row.base, extra, storage)
    return (
        read_name(path.replace("/", " ")) if last != path else NamedModel(extra=tuple(words.split()), storage=storage)
    )


def catalog_name(model: str) -> str:
    """The catalog's name of what a user calls a model; "" for another one, or none.

    Read as the user's own word: `dev` is the catalog's. A name that says how the weights are stored, or a repository
    of somebody else, is another model than the catalog's.

    >>> catalog_name("FLUX.2-klein-4B"), catalog_name("https://huggingface.co/black-forest-labs/FLUX.2-dev")
    ('klein-4b', 'dev')
    """
    model = repository_of(model)
    if (plain := model.lower()) in MODELS:
        return plain
    owner, slash, rest = model.rpartition("/")
    if slash and owner.lower() not in _OWNERS:
        return ""
    named = read_name(rest)
    return "" if named.storage else named.card


def repository_of(model: str) -> str:
    """The repository's id in the address of its page, or in the name of its folder in the Hub's cache; else as it is.

    >>> repository_of("https://huggingface.co/me/fox/tree/main"), repository_of("models--me--fox")
    ('me/fox', 'me/fox')
    """
    model = model.strip()
    if match := _PAGE.match(model) or _CACHE_FOLDER.fullmatch(model):
        repo = f"{match['owner']}/{match['name']}"
        return repo if is_repo_id(repo) else model
    return model


def suggestion(model: str) -> str:
    """The catalog name that was probably meant; "" for a name that is like none."""
    named = read_name(repository_of(model))
    if named.base or (named.family and not named.family.startswith("FLUX.2")):
        return named.base
    words, _ = _set_apart(_words(model.rpartition("/")[2]), re.compile(r"\bflux( 2)?\b"))
    likeness = {name: difflib.SequenceMatcher(None, words, _words(name)).ratio() for name in MODELS}
    closest = max(likeness, key=lambda name: likeness[name])  # of several the first of the catalog
    return closest if likeness[closest] >= _ALIKE else ""


_ALIKE = 0.6
"""Likeness, of 1 for the same words, from which on a name may be meant; difflib's own measure for "close matches"."""


_OWNERS = {repo.rpartition("/")[0].lower() for card in MODELS.values() if (repo := card.repo)}
_PAGE = re.compile(
    r"(?:(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co|hf-mirror\.com)|hf:/)/(?P<owner>[^/?#\s]+)/(?P<name>[^/?#\s]+)"
)
_CACHE_FOLDER = re.compile(r"models--(?P<owner>[^/]+?)--(?P<name>[^/]+)")
_STORAGE = re.compile(
    r"\b(?:(?:fp|bf|f|nf|nvfp|mxfp|int|qint|w) (?:4|8|16|32)|i?q \d(?: (?:k|[01]|p|xxs|xs|s|m|l|xl|nl))*"
    r"|e \d m \d(?: fn)?|\d+ bit|safetensors|sft|ckpt|gguf|mlx|bnb|sdnq|nunchaku|svdq|r (?:32|128)|scaled|mixed"
    r"|quantized|diffusers|transformer|unet|comfy(?:ui)?|repackaged|pruned|official|models?|black forest labs|bfl)\b"
)
"""Words that say how weights are stored or who packed them, not which they are."""


def _words(name: str) -> str:
    """Words and numbers of a name in lower case, a blank between each two: "FLUX.2-klein-4B" is "flux 2 klein 4 b"."""
    plain = unicodedata.normalize("NFKC", name)
    camel = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain)  # fluxKlein9b
    return " ".join(re.findall(r"[^\W\d_]+|\d+", camel.lower()))


def _set_apart(words: str, pattern: re.Pattern[str]) -> tuple[str, tuple[str, ...]]:
    """The words without those that match, and those."""
    return " ".join(pattern.sub(" ", words).split()), tuple(match.group() for match in pattern.finditer(words))


def _words_beside(row: Family, words: str) -> tuple[str, ...] | None:
    """The words that the name has besides the family's; None if it is not of this family."""
    for phrase in row.words:
        if not re.search(rf"\b{phrase}\b", words):
            return None
    for phrase in (*row.also, *row.words):
        words = re.sub(rf"\b{phrase}\b", " ", words)
        words = " ".join(words.split())
    return None if row.alone and words else tuple(words.split())
