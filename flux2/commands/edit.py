"""`flux2 edit`: from pictures and a prompt to a picture, in this process."""

from __future__ import annotations

import argparse

from flux2.commands import t2i
from flux2.errors import RequestError

_DESCRIPTION = """\
Make a picture from pictures and a text, and print its path.

Pictures are references, which the prompt calls "image 1", "image 2" and so on in
their order, and the model draws a new picture after them. With --strength, --mask
or --outpaint the first one is changed itself, and the others are references."""

_EXAMPLES = """\
examples:
  flux2 edit "the same at night" --image cat.png
  flux2 edit "the cat of image 1 in the room of image 2" --image cat.png --image room.jpg
  flux2 edit "a dog on a sofa" --image cat.png --mask where-the-cat-is.png
  flux2 edit "a wide beach at sunset" --image beach.jpg --outpaint 0,256,0,256
  flux2 edit "an oil painting" --image cat.png --strength 0.6"""


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    t2i.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do as `flux2 t2i` does.

    Raises:
        RequestError: if no picture is named.
    """
    if not args.references and args.settings_of is None:
        raise RequestError("There is no picture to edit; name one with --image.")
    return t2i.run(args)
