"""Nonsense in a variable of the environment costs that variable, and is named; never a secret's value."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import flux2
from flux2.environment import CHECKS, drop_nonsense
from flux2.store import route
from flux2.store.refusals import in_words

SECRET = "s3cret"
NONSENSE = {
    "HOME": "home",
    "XDG_CACHE_HOME": "~/.cache",
    "XDG_CONFIG_HOME": "config",
    "XDG_DATA_HOME": ".",
    "XDG_STATE_HOME": "$HOME/state",
    "XDG_PICTURES_DIR": "Pictures",
    "FLUX2_HOME": "~nobody-of-that-name/x",
    "FLUX2_OUTPUT": "~nobody-of-that-name",
    "FLUX2_LORAS": "~nobody-of-that-name",
    "FLUX2_WEIGHTS": "~nobody-of-that-name",
    "HF_HOME": "~nobody-of-that-name/hf",
    "HF_HUB_CACHE": "~nobody-of-that-name/hub",
    "HUGGINGFACE_HUB_CACHE": "~nobody-of-that-name/hub",
    "HF_XET_CACHE": "~nobody-of-that-name/xet",
    "HF_TOKEN_PATH": "~nobody-of-that-name/token",
    "FLUX2_MEMORY_BUDGET": "plenty",
    "HF_TOKEN": f"hf_абв{SECRET}",
    "HUGGING_FACE_HUB_TOKEN": f"hf {SECRET}",
    "HF_HUB_USER_AGENT_ORIGIN": "é",
    "HF_HUB_DOWNLOAD_TIMEOUT": "30s",
    "HF_HUB_ETAG_TIMEOUT": "-1",
    "SSL_CERT_FILE": "/nowhere/ca.pem",
    "SSL_CERT_DIR": "/nowhere",
    "SSLKEYLOGFILE": "/nowhere/keys",
    "OMP_NUM_THREADS": "two",
    "OPENBLAS_NUM_THREADS": "2.5",
    "RAYON_NUM_THREADS": "²",
    "MLX_MAX_OPS_PER_BUFFER": "x",
    "MLX_MAX_MB_PER_BUFFER": "1e3",
    "MLX_BFS_MAX_WIDTH": "wide",
    "TQDM_MININTERVAL": "often",
    "TQDM_MAXINTERVAL": "nan",
    "TQDM_MINITERS": "some",
    "TQDM_NCOLS": "all",
}


def test_every_variable_of_the_table_can_make_no_sense() -> None:
    assert NONSENSE.keys() == CHECKS.keys()
    environment = dict(NONSENSE)
    said = drop_nonsense(environment)
    assert environment == {}
    assert len(said) == len(NONSENSE)
    for name, sentence in zip(NONSENSE, said, strict=True):
        assert sentence.startswith(f"{name} ") and sentence.endswith("; it is not used.")
    assert SECRET not in "".join(said)


def test_what_makes_sense_stays(tmp_path: Path) -> None:
    sensible = {
        "HOME": "/home/me",
        "XDG_CACHE_HOME": "/var/cache",
        "FLUX2_HOME": "below",
        "HF_HOME": "~/hf",
        "FLUX2_MEMORY_BUDGET": "12GB",
        "HF_TOKEN": " hf_abc\n",
        "HF_HUB_DOWNLOAD_TIMEOUT": "30",
        "SSLKEYLOGFILE": str(tmp_path / "keys"),
        "OMP_NUM_THREADS": "4,2",
        "TQDM_MININTERVAL": "0.5",
    }
    environment = dict(sensible)
    assert drop_nonsense(environment) == ()
    assert environment == sensible


def test_an_empty_variable_is_none() -> None:
    environment = dict.fromkeys((*CHECKS, "HF_ENDPOINT"), "")
    assert drop_nonsense(environment) == ()
    assert environment == {}


def test_a_file_that_holds_no_certificates(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    (said,) = drop_nonsense({"SSL_CERT_FILE": str(tmp_path / "ca.pem")})
    assert "holds no certificates" in said


def test_damaged_certificates_are_named_where_they_are_needed(way: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
    way.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert "SSL_CERT_FILE" in route.fault()


def test_a_command_goes_on_without_it(tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HUB_DOWNLOAD_TIMEOUT": "30s", "XDG_CONFIG_HOME": "here", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "flux2", "models", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.splitlines()) == (
        0,
        [
            "flux2: XDG_CONFIG_HOME is 'here', not an absolute path; it is not used.",
            "flux2: HF_HUB_DOWNLOAD_TIMEOUT is '30s', not a whole number; it is not used.",
        ],
    )


def test_the_library_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flux2, "complaints", ("HF_HOME is nothing; it is not used.",))
    with pytest.warns(UserWarning, match="HF_HOME is nothing"):
        _ = flux2.Flux2Error


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment that says nothing of the way to the Hub."""
    for name in ("HF_ENDPOINT", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", *route.PROXIES, "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    return monkeypatch


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("all_proxy", "socks://127.0.0.1:7890/"),
        ("HTTP_PROXY", f"http://user:p@{SECRET}@proxy:80:80"),
        ("HTTPS_PROXY", "http://[::1"),
        ("https_proxy", "http://proxy:port"),
        ("ALL_PROXY", "http://proxy:99999"),
        ("http_proxy", "http://"),
        ("HF_ENDPOINT", "huggingface.co"),
        ("HF_ENDPOINT", "https://[hub"),
        ("HF_ENDPOINT", "https://the hub"),
        ("HF_ENDPOINT", "https://hub:0x50"),
    ],
)
def test_a_way_to_the_hub_that_makes_no_sense_is_named(way: pytest.MonkeyPatch, name: str, value: str) -> None:
    way.setenv(name, value)
    assert route.fault().startswith(f"{name} ")
    assert SECRET not in route.fault()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1080"),
        ("all_proxy", "socks5h://user:a%40b@127.0.0.1:1080"),
        ("HTTP_PROXY", "proxy.local:3128"),
        ("HF_ENDPOINT", "https://hub.local:8443/mirror/"),
        ("NO_PROXY", "localhost,[::1],fe80::/10,*.local"),
    ],
)
def test_a_way_to_the_hub_that_can_be_gone(way: pytest.MonkeyPatch, name: str, value: str) -> None:
    way.setenv(name, value)
    assert route.fault() == ""


def test_a_token_that_was_stored_damaged_is_named(way: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert way is not None
    (tmp_path / "token").write_text(f"hf_абв{SECRET}", "utf-8")
    assert route.fault().startswith("The token of the last login")
    assert SECRET not in route.fault()


def test_a_hub_that_can_not_be_reached_names_what_leads_there(way: pytest.MonkeyPatch) -> None:
    assert "check the network, or" in in_words(OSError("no route"), "a/b")
    way.setenv("HTTPS_PROXY", f"http://me:{SECRET}@proxy:1")
    told = in_words(OSError("no route"), "a/b")
    assert "check the network and HTTPS_PROXY, or" in told and SECRET not in told
