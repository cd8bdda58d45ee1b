"""How a picture gets from this machine to the user's: the scp line for who came over ssh."""

from __future__ import annotations

import getpass
import os
import platform
import shlex
from collections.abc import Mapping
from pathlib import Path

SSH_PORT = "22"


def scp_line(path: Path, environment: Mapping[str, str] = os.environ) -> str:
    """`scp user@host:'/path/to/a picture.png' .`, to be run on the user's own machine.

    The host is the address that the user's connection came in at (`SSH_CONNECTION`: client, its port, server, its
    port), which they can reach; without one, this machine's name.
    """
    parts = environment.get("SSH_CONNECTION", "").split()
    host, port = (parts[2], parts[3]) if len(parts) == 4 else (platform.node(), SSH_PORT)
    host = f"[{host}]" if ":" in host else host
    option = f"-P {port} " if port != SSH_PORT else ""
    return f"scp {option}{shlex.quote(f'{getpass.getuser()}@{host}:{path}')} ."
