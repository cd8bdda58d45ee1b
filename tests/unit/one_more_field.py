"""A field that is added to the request at run time, and a look at every place where it must arrive."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ONE_MORE_FIELD = """
import argparse, dataclasses, json, sys
from pathlib import Path
import flux2.request
from flux2.request_fields import Option, about

said = about(
    None,
    check=lambda name, value: f"{name} {value} is too much; choose less." if value > 9 else None,
    line="sparkle",
    option=Option(names=("--sparkle",), help="how much it sparkles"),
)
flux2.request.GenerationRequest = dataclasses.make_dataclass(
    "GenerationRequest", [("sparkle", int | None, said)], bases=(flux2.request.GenerationRequest,),
    frozen=True, slots=True, kw_only=True,
)

from flux2.commands.request_options import add_request_options, read_request
from flux2.denoise.resume import identify
from flux2.errors import RequestError
from flux2.pictures.foreign.candidate import Candidate
from flux2.pictures.foreign.ours import read_ours
from flux2.pictures.gallery import Picture
from flux2.pictures.image_metadata import CHUNK, ImageMetadata
from flux2.pictures.quantization_set import find, quantization_set
from flux2.request_fields import lines
from flux2.worker.journal import Job, Journal
from flux2.worker.recovery import recover
from tui.state.choices import Choices, load_choices, save_choices

folder = Path(sys.argv[1])
parser = argparse.ArgumentParser()
add_request_options(parser)
asked = read_request(parser.parse_args(["a fox", "--seed", "7", "--sparkle", "5"])).validated()
plain = dataclasses.replace(asked, sparkle=None)
assert asked.sparkle == 5, "command line"
parser = argparse.ArgumentParser()
add_request_options(parser, planned=True)
assert read_request(parser.parse_args(["--sparkle", "5"]), prompt="-").sparkle == 5, "flux2 plan"

for wrong, words in ((50, "too much"), ("5", "not int")):
    try:
        flux2.request.GenerationRequest.from_dict({"prompt": "a fox", "sparkle": wrong}).validated()
    except RequestError as error:
        assert words in str(error)
    else:
        raise AssertionError("validation")

assert flux2.request.GenerationRequest.from_dict(json.loads(json.dumps(asked.to_dict()))) == asked, "wire"
Journal(folder).save_queue(None, [Job(run="r1", request=asked)])
assert recover(Journal(folder), 10).queue[0].request == asked, "journal"
text = ImageMetadata(request=asked).to_json()
assert ImageMetadata.from_json(text).request == asked, "picture"
assert read_ours(Candidate(CHUNK, text)).values["sparkle"] == 5, "settings of a picture"
assert lines(asked)["sparkle"] == "5", "what is told of a picture"
assert identify(asked, "float32", ()) != identify(plain, "float32", ()), "resume"
picture = Picture(path=folder, size=1, changed=1, created=1.0, width=64, height=64, request=plain)
assert find(asked, [picture]) is None and find(plain, [picture]) is picture, "comparison"
assert all(each.sparkle == 5 for each in quantization_set(asked)), "comparison"
choices = Choices().with_request(asked)
assert choices.request() == asked, "choices"
save_choices(folder / "screen.json", choices)
assert load_choices(folder / "screen.json") == choices, "choices kept"
"""


def check_that_it_arrives(folder: Path) -> None:
    """Look, in a process of its own: the field must be there before any other module takes the class.

    Raises:
        AssertionError: naming the place where it did not.
    """
    command = [sys.executable, "-c", ONE_MORE_FIELD, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
