"""Handing in pictures: the questions that the keys for it ask, and what becomes of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flux2.architecture.reference_sizes import complaint
from flux2.errors import Flux2Error
from flux2.folders import pictures_dir
from flux2.humanize import printable
from flux2.inputs.checks import MAX_REFERENCES
from tui.program import Program
from tui.screens import picture_desk
from tui.screens.menu import Menu, MenuLine
from tui.state import handing_in
from tui.state.handing_in import Role, handed_in

if TYPE_CHECKING:
    from flux2.inputs.attachment import Attachment

# --- what a picture is for --------------------------------------------------------------------------------------------


def ask_use(app: Program, paths: Sequence[Path]) -> None:
    """What these pictures are to be taken for: one key answers. Several can only be references."""
    first = _next_number(app)
    last = first + len(paths) - 1
    number = f"image {first}" if len(paths) == 1 else f"images {first} to {last}"
    lines = [MenuLine("reference", f"Reference{'s' * (len(paths) > 1)}", f"the prompt calls it {number}", "r")]
    if len(paths) == 1:
        lines.append(MenuLine("source", "Change it", "start from it, repaint or extend it", "c"))
        if app.choices.source is not None:
            lines.append(MenuLine("mask", "Mask", f"of {printable(str(app.choices.source))}: white is repainted", "m"))
        lines.append(MenuLine("settings", "Its settings", "prompt, model, seed and so on", "s"))

    def take(answer: str | None) -> None:
        from tui.screens.iterating import take_settings

        if answer == "settings":
            picture_desk.open_dashboard(app)
            app.run_worker(take_settings(app, paths[0]), group="settings-of")
        elif answer in ("reference", "source", "mask"):
            app.run_worker(attach(app, answer, paths), group="attach")  # type: ignore[arg-type]

    names = printable(paths[0].name) if len(paths) == 1 else f"{len(paths)} pictures"
    app.push_screen(Menu(f"Use {names} as", lines), take)


def dropped(app: Program, paths: Sequence[Path]) -> None:
    """Pictures' paths were pasted, or pictures dragged into the terminal."""
    from tui.terminal.pasted_paths import absent

    if missing := next((sentence for path in paths if (sentence := absent(path))), ""):
        app.say("warning", printable(missing))
    else:
        ask_use(app, paths)


async def attach(app: Program, role: Role, paths: Sequence[Path]) -> None:
    """Put pictures into the store, and hand them in."""
    from flux2.pictures.attachments import attach as keep

    free = MAX_REFERENCES - len(app.choices.references)
    if role == "reference" and len(paths) > free:
        app.say("warning", f"{MAX_REFERENCES} references are the most; {free} more can be taken.")
        return
    notes: list[str] = []
    try:
        pictures = [await asyncio.to_thread(keep, path, notes.append) for path in paths]
    except (Flux2Error, OSError) as error:
        app.say("error", printable(str(error)))
        return
    for note in notes:
        app.say("warning", printable(note))
    take(app, role, pictures)


def take(app: Program, role: Role, pictures: Sequence[Attachment]) -> None:
    """Hand in pictures that are in the store, and say what they are from now on."""
    for picture in pictures:
        if role == "reference" and (wrong := complaint(str(picture), picture.width, picture.height)):
            app.say("warning", printable(wrong))
            return
    had_mask = app.choices.mask is not None
    app.choose(handing_in.hand_in(app.choices, role, pictures))
    app.say("info", printable(_said(app, role, pictures, had_mask)))


def _said(app: Program, role: Role, pictures: Sequence[Attachment], had_mask: bool) -> str:
    names = ", ".join(map(str, pictures))
    keys = app.keys_of("pictures-in")
    if role == "reference":
        last = _next_number(app) - 1
        numbers = f"image {last}" if len(pictures) == 1 else f"images {last - len(pictures) + 1} to {last}"
        return f"{names}: {numbers} in the prompt."
    if role == "mask":
        return f"White in {names} is repainted."
    return f"{names} will be changed; {keys}: strength, mask, extension." + " Its mask is new, too." * had_mask


def _next_number(app: Program) -> int:
    """Number of the next reference in a prompt."""
    return sum(item.number > 0 for item in handed_in(app.choices)) + 1


# --- the menu of all of it --------------------------------------------------------------------------------------------


def ask_pictures(app: Program) -> None:
    """All that can be done about pictures that are handed in."""
    choices = app.choices
    told, shown = printable(str(choices.source)), choices.shows_source
    lines = [
        MenuLine("reference", "Add a reference", f"the prompt calls it image {_next_number(app)}", "r"),
        MenuLine("source", "Another picture to change" if choices.source else "A picture to change", "", "c"),
    ]
    if choices.source is not None:
        lines += [
            MenuLine("strength", "Strength", _strength(app), "s"),
            MenuLine("draw", "Change the mask" if choices.mask else "Draw a mask", f"by keys, over {told}", "d"),
            MenuLine("mask", "Mask from a file", "white is repainted", "f"),
            MenuLine("outpaint", "Extend", _extension(app), "e"),
            MenuLine(
                "also", "As a reference", "no longer" if choices.shows_source else f"show {told} as one, too", "a"
            ),
        ]
    if choices.references or shown:
        lines.append(MenuLine("area", "Size of references", _area(choices.reference_pixels), "z"))
    if handed_in(choices):
        lines.append(MenuLine("none", "Take all away", "", "x"))
    asks: dict[str, Callable[[], None]] = {
        "reference": lambda: pick(app, "reference"),
        "source": lambda: pick(app, "source"),
        "mask": lambda: pick(app, "mask"),
        "strength": lambda: ask_strength(app),
        "draw": lambda: draw_mask(app),
        "outpaint": lambda: ask_extension(app),
        "also": lambda: app.choose(replace(app.choices, source_as_reference=not app.choices.shows_source)),
        "area": lambda: ask_area(app),
        "none": lambda: app.choose(handing_in.take_all_away(app.choices)),
    }

    def take(answer: str | None) -> None:
        if answer:
            asks[answer]()

    app.push_screen(Menu("Pictures in", lines), take)


def pick(app: Program, role: Role) -> None:
    """A picture from the disk, handed in."""
    titles = {"reference": f"Reference: image {_next_number(app)}", "source": "Picture to change", "mask": "Mask"}
    pick_file(app, titles[role], lambda path: app.run_worker(attach(app, role, [path]), group="attach"))


def pick_file(app: Program, title: str, take: Callable[[Path], object]) -> None:
    """A picture from a folder, with a look at it before; the pictures folder first, then where one was taken last."""
    from tui.screens.picture_picker import PicturePicker
    from tui.state.previews import first_folder

    def taken(path: Path | None) -> None:
        if path is not None:
            app.last_folder = path.parent
            take(path)

    folder = app.last_folder if app.last_folder and app.last_folder.is_dir() else first_folder(pictures_dir())
    app.push_screen(PicturePicker(title, folder), taken)


def draw_mask(app: Program) -> None:
    """The mask of the picture that is changed, drawn over it."""
    from tui.screens.mask_editor import MaskEditor

    if app.choices.source is not None:
        app.push_screen(MaskEditor(app.choices.source, app.choices.mask, lambda mask: take(app, "mask", [mask])))


# --- numbers ----------------------------------------------------------------------------------------------------------


def ask_strength(app: Program) -> None:
    """How much of the source is kept: each strength with what it does."""
    from tui.lines.strength_lines import effect_of, offered_strengths

    choices, steps = app.choices, app.choices.step_count or 1

    def line(strength: float, letter: str) -> MenuLine:
        return MenuLine(f"{strength:g}", f"{strength:g}", effect_of(strength, steps, choices.size).line, letter)

    offered = offered_strengths(steps)
    lines = [line(strength, letter) for strength, letter in zip(offered, "abcdefghijkl", strict=False)]
    if choices.mask or choices.outpaint:
        lines.append(MenuLine("none", "none", "what is repainted begins in noise alone", "n"))

    def check(text: str) -> str:
        value = _number(text)
        return "" if value is not None and 0 < value <= 1 else "Write a number above 0, and up to 1, as 0.6."

    def take(answer: str | None) -> None:
        if answer:
            app.choose(handing_in.settled(replace(app.choices, strength=_number(answer))))

    current = "none" if choices.strength is None else f"{choices.strength:g}"
    app.push_screen(Menu("Strength", lines, current, typed="or type 0.65", check=check), take)


def ask_extension(app: Program) -> None:
    """How many pixels are added on each side of the source."""
    from tui.screens.extension_form import ExtensionForm

    if app.choices.source is None:
        return

    def take(sides: tuple[int, int, int, int] | None) -> None:
        if sides is not None:
            app.choose(handing_in.extend(app.choices, sides))

    app.push_screen(ExtensionForm(app.choices.source, app.choices.outpaint), take)


_AREAS = {"1024": "a", "768": "b", "512": "c", "384": "d", "256": "e"}


def ask_area(app: Program) -> None:
    """What references are shrunk to, with what that leaves of their tokens and their time."""
    from tui.lines.picture_costs import costs_of

    def line(side: str, letter: str) -> MenuLine:
        costs = costs_of(replace(app.choices, reference_pixels=_pixels(side)), app.session)
        times = f", a step takes {costs.times:.1f} × as long" if costs.times else ""
        return MenuLine(side, f"{side}×{side}", f"{costs.tokens:,} tokens{times}", letter)

    def check(text: str) -> str:
        value = _number(text)
        return "" if value is not None and 64 <= value <= 4096 else "Write the side of a square, 64 to 4096 pixels."

    def take(answer: str | None) -> None:
        if answer:
            app.choose(replace(app.choices, reference_pixels=_pixels(answer)))

    side = round((app.choices.reference_pixels or 1024**2) ** 0.5)
    lines = [line(side, letter) for side, letter in _AREAS.items()]
    app.push_screen(Menu("References have at most the area of", lines, f"{side}", typed="or a side", check=check), take)


def _pixels(side: str) -> int | None:
    """The area of a square; None for what is taken where nothing is said."""
    area = int(_number(side) or 1024) ** 2
    return None if area == 1024**2 else area


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _strength(app: Program) -> str:
    from tui.lines.strength_lines import effect_of

    choices = app.choices
    if choices.strength is None:
        return "none: what is repainted begins in noise alone"
    effect = effect_of(choices.strength, choices.step_count or 1, choices.size)
    return f"{choices.strength:g}: {effect.line}"


def _extension(app: Program) -> str:
    from tui.lines.strength_lines import extension

    source, sides = app.choices.source, app.choices.outpaint
    return extension((source.width, source.height), sides) if source and sides else "beyond its edges"


def _area(pixels: int | None) -> str:
    side = round((pixels or 1024**2) ** 0.5)
    return f"{side}×{side} at most"
