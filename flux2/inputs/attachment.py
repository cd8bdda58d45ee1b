"""A picture that was handed in with a request, named by what it holds; `flux2.pictures.attachments` keeps the files."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DIGEST = re.compile("[0-9a-f]{64}")
MAX_NAME = 255
"""Bytes of a name, as file systems have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One picture. Its digest decides what it is; the rest is only told."""

    digest: str
    """SHA-256 of the file, in hexadecimal: other programs and machines make the same of it."""
    name: str = ""
    """The name of the file that was handed in, without its folder, whose path is nobody else's business."""
    width: int = 0
    """Pixels, as people see it: a photograph that lies on its side in the file has been turned."""
    height: int = 0

    def __str__(self) -> str:
        return self.name or self.digest[:12]


def check_attachment(field: str, attachment: Attachment) -> str | None:
    """What is wrong with one that a socket or a file has told of; None for nothing."""
    if not _DIGEST.fullmatch(attachment.digest):
        return f"The {field} {str(attachment)!r:.80} has no SHA-256 digest; attach the picture anew."
    if len(attachment.name.encode("utf-8", "replace")) > MAX_NAME or "/" in attachment.name:
        return f"The {field} has the name {attachment.name!r:.80}; give a file's name without its folder."
    if attachment.width < 0 or attachment.height < 0:
        return f"The {field} {str(attachment)!r:.80} is {attachment.width}×{attachment.height}; attach it anew."
    return None
