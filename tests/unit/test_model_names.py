"""Names of models are read by words, never by a part of one: other programs' spellings, files, repositories, pages."""

from __future__ import annotations

import pytest

from flux2.architecture.catalog import MODELS
from flux2.architecture.model_names import FAMILIES, catalog_name, read_name, repository_of, suggestion

SPELLINGS = {
    "klein-4b": (
        "klein-4b",
        "Klein-4B",
        "flux2-klein-4b",
        "FLUX.2-klein-4B",
        "flux2 klein 4b",
        "klein4b",
        "FLUX.2 [klein] 4B",
        "FLUX.2-klein-4B-distilled",
        "black-forest-labs/FLUX.2-klein-4B",
        "Black-Forest-Labs/flux.2-klein-4b",
        "https://huggingface.co/black-forest-labs/FLUX.2-klein-4B",
        "https://huggingface.co/black-forest-labs/FLUX.2-klein-4B/tree/main?library=diffusers",
        "huggingface.co/black-forest-labs/FLUX.2-klein-4B/",
        "hf://black-forest-labs/FLUX.2-klein-4B",
        "models--black-forest-labs--FLUX.2-klein-4B",
    ),
    "klein-9b-kv": ("klein-9b-kv", "FLUX.2-klein-9b-kv", "flux2-klein-9b-kv", "black-forest-labs/FLUX.2-klein-9b-kv"),
    "klein-base-9b": ("klein-base-9b", "flux_2_klein_9b_base", "klein-9b-base", "FLUX.2-klein-base-9B"),
    "dev": ("dev", "Dev", "flux2-dev", "FLUX.2-dev", "flux2dev", "FLUX.2 [dev]"),
    "pocket": ("pocket", "Pocket"),
}


@pytest.mark.parametrize(("name", "meant"), [(name, card) for card, names in SPELLINGS.items() for name in names])
def test_a_users_spelling_of_a_catalog_model(name: str, meant: str) -> None:
    assert catalog_name(name) == meant


@pytest.mark.parametrize(
    "name",
    [
        "",
        "FLUX.1-dev",
        "flux-dev",
        "black-forest-labs/FLUX.1-dev",
        "devilMix",
        "pocketMonsters_v1",
        "sdxl_develop",
        "klein",
        "flux-2-klein-4b-fp8.safetensors",  # a file, or a repository of its own
        "black-forest-labs/FLUX.2-klein-9b-fp8",
        "me/FLUX.2-klein-4B",  # somebody's own repository
        "me/klein-4b",
        "klein-4b-anime",
        "./klein-4b",
    ],
)
def test_another_model_is_not_taken_for_one_of_the_catalog(name: str) -> None:
    assert catalog_name(name) == ""


@pytest.mark.parametrize(
    ("name", "family", "card", "base"),
    [
        ("flux_2_klein_9b_base", "FLUX.2 klein base 9B", "klein-base-9b", "klein-base-9b"),
        ("flux-2-klein-9b-fp8.safetensors", "FLUX.2 klein 9B", "klein-9b", "klein-9b"),
        ("FLUX.2 Klein 9B (Diffusers)", "FLUX.2 klein 9B", "klein-9b", "klein-9b"),
        ("flux_2_klein_9b_q8p.ckpt", "FLUX.2 klein 9B", "klein-9b", "klein-9b"),
        ("flux2Klein4B_bf16", "FLUX.2 klein 4B", "klein-4b", "klein-4b"),
        ("flux-2-klein-base-4b-Q4_K_M.gguf", "FLUX.2 klein base 4B", "klein-base-4b", "klein-base-4b"),
        ("Flux/flux2_dev_fp8mixed.safetensors", "FLUX.2 dev", "dev", "dev"),
        ("flux2/dev.safetensors", "FLUX.2 dev", "dev", "dev"),
        ("unet\\FLUX2\\klein-9b.safetensors", "FLUX.2 klein 9B", "klein-9b", "klein-9b"),
        ("flux2-dev [a1b2c3d4e5]", "FLUX.2 dev", "dev", "dev"),
        ("flux-2-klein-9b-kv-fp8", "FLUX.2 klein 9B KV", "klein-9b-kv", "klein-9b-kv"),
        ("fal/FLUX.2-dev-Turbo", "FLUX.2 dev", "", "dev"),
        ("foxMix_klein9b_v2.safetensors", "FLUX.2 klein 9B", "", "klein-9b"),
        ("flux1-dev-fp8.safetensors", "FLUX.1 dev", "", ""),
        ("black-forest-labs/FLUX.1-dev", "FLUX.1 dev", "", ""),
        ("dev", "FLUX.1 dev", "", ""),
        ("schnell", "FLUX.1 schnell", "", ""),
        ("flux1-kontext-dev.safetensors", "FLUX.1 Kontext dev", "", ""),
        ("FLUX.1-Krea-dev", "FLUX.1 Krea dev", "", ""),
        ("FLUX.1-Fill-dev", "FLUX.1 Fill dev", "", ""),
        ("fluxDevHyper_v2", "FLUX.1 dev", "", ""),
        ("sd_xl_base_1.0.safetensors", "Stable Diffusion XL", "", ""),
        ("v1-5-pruned-emaonly.ckpt", "Stable Diffusion 1", "", ""),
        ("stabilityai/stable-diffusion-3.5-large", "Stable Diffusion 3", "", ""),
        ("devilMix", "", "", ""),
        ("pocketMonsters_v1", "", "", ""),
        ("sdxl_develop", "Stable Diffusion XL", "", ""),
        ("yves_klein_blue", "", "", ""),
        ("/", "", "", ""),
        ("\x00" * 9000, "", "", ""),
    ],
)
def test_other_programs_names(name: str, family: str, card: str, base: str) -> None:
    named = read_name(name)
    assert (named.family, named.card, named.base) == (family, card, base)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("klien-4b", "klein-4b"),
        ("flux2-klein-4", "klein-4b"),
        ("klein-4b-anime", "klein-4b"),
        ("klein", "klein-4b"),
        ("pockett", "pocket"),
        ("devv", "dev"),
        ("black-forest-labs/FLUX.2-klein-9b-fp8", "klein-9b"),
        ("FLUX.1-dev", ""),
        ("stable-diffusion-xl", ""),
        ("/somewhere/else", ""),
    ],
)
def test_suggestions(name: str, meant: str) -> None:
    assert suggestion(name) == meant


def test_repositories_of_pages_and_cache_folders() -> None:
    assert repository_of("https://hf.co/me/fox/blob/main/a.safetensors") == "me/fox"
    assert repository_of("models--me--fox--two") == "me/fox--two"
    assert repository_of("https://huggingface.co/") == "https://huggingface.co/"
    assert repository_of("https://example.com/me/fox") == "https://example.com/me/fox"


def test_every_catalog_model_has_one_row() -> None:
    assert sorted(row.card for row in FAMILIES if row.card) == sorted(MODELS)
    assert {row.base for row in FAMILIES if row.base} <= set(MODELS)


def test_every_row_is_found_by_its_own_title_words() -> None:
    """A row below a more general one would never be reached."""
    for row in FAMILIES:
        assert read_name(" ".join(row.words)).family == row.title, row
