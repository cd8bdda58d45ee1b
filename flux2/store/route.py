"""The way to the Hub as the environment names it: its address, the proxies, and the token that is sent along.

What is wrong there is found before the first request, and refuses what needs the Hub, and nothing else: to drop a proxy
or an address would be to go another way than the user wants.
"""

from __future__ import annotations

import os
import re
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import get_token

from flux2.environment import is_token
from flux2.store.fetch import HTTPError

PROXIES = ("http_proxy", "https_proxy", "all_proxy")
"""In lower case; both cases are read."""
_ALSO_READ = ("no_proxy", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
_HTTP: Any = import_module(HTTPError.__module__.partition(".")[0])
"""The HTTP client of this version of huggingface_hub."""


def fault() -> str:
    """What of it makes no sense, in one sentence that names the variable and never its value; "" where all does."""
    return _fault_of_address() or _fault_of_proxies() or _fault_of_token()


def proxies() -> list[str]:
    """The variables that name a proxy."""
    return sorted(name for name, value in os.environ.items() if name.lower() in PROXIES and value)


def _fault_of_address() -> str:
    address = os.environ.get("HF_ENDPOINT", "")
    try:
        parts = urlsplit(address)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not address or (fits and not re.search(r"\s", address)):
        return ""
    return "HF_ENDPOINT is no web address; write it as https://huggingface.co, or unset it."


def _fault_of_proxies() -> str:
    for name in proxies():
        value = os.environ[name]
        try:
            proxy = _HTTP.Proxy(value if "://" in value else f"http://{value}")
            fits = bool(proxy.url.host) and (proxy.url.port or 1) < 1 << 16
        except Exception:
            fits = False
        if not fits:
            return (
                f"{name} names no proxy that can be used; write it as http://host:port or socks5://host:port, a "
                "password's @ and : as %40 and %3A, or unset it."
            )
    try:
        _HTTP.Client().close()
    except Exception as error:
        names = " or ".join([*proxies(), *filter(os.environ.get, _ALSO_READ)]) or "the system's proxies"
        return f"The way to the Hub can't be made out ({type(error).__name__}); correct or unset {names}."
    return ""


def _fault_of_token() -> str:
    if is_token(get_token() or ""):
        return ""
    return "The token of the last login holds characters that no token has; log in again with `hf auth login`."
