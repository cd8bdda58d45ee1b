"""Put the committed measurements into their page and README, between markers: `python -m flux2.bench.research.readme`.

With --check nothing is written, and the exit code is 1 where a page says something else than the files.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

from flux2.bench.research.page_parts import bounds_part, memory_part, older_part, scaling_part, speed_part
from flux2.bench.research.recorded import FOLDER
from flux2.bench.research.telling import telling_part

README = Path(__file__).parents[3] / "README.md"
RESULTS = FOLDER / "README.md"
_MARKERS = r"(<!-- measured: {name} -->\n).*?(<!-- end of {name} -->)"

PAGES: dict[Path, dict[str, Callable[[], str]]] = {
    README: {"telling": telling_part},
    RESULTS: {
        "older": older_part,
        "memory": memory_part,
        "speed": speed_part,
        "bounds": bounds_part,
        "scaling": scaling_part,
    },
}
"""The parts of each page by the name in their markers."""


def render(page: Path, text: str) -> str:
    """A page's text with each marked part made anew from the files.

    Raises:
        ValueError: if a part has no markers.
    """
    for name, part in PAGES[page].items():
        pattern = re.compile(_MARKERS.format(name=re.escape(name)), re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"{page.name} has no markers for {name!r}")
        try:
            content = part() or "Not measured yet."
        except LookupError:  # No history here to compare with: what the page says of it stays.
            continue
        text = pattern.sub(lambda found, new=content: f"{found[1]}{new}\n{found[2]}", text)  # type: ignore[misc]
    return text


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m flux2.bench.research.readme", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is out of date")
    args = parser.parse_args(arguments)
    stale = False
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        new = render(page, text)
        stale |= new != text
        if not args.check:
            page.write_text(new, encoding="utf-8")
    return int(stale and args.check)


if __name__ == "__main__":
    sys.exit(main())
