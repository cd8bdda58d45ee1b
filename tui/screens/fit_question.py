"""The question before a run that seems not to fit: what would in its place, or to try it all the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flux2.humanize import gigabytes
from tui.program import Program
from tui.screens.menu import Menu, MenuLine

if TYPE_CHECKING:
    from flux2.planning.fit import Fit
    from flux2.request import GenerationRequest

_FORCE = "force"


async def ask_if_too_large(app: Program, request: GenerationRequest) -> GenerationRequest | None:
    """The request itself where it fits or is forced; else what the user takes in its place, None for nothing.

    To be awaited in a worker of Textual's. What is taken becomes the choice for the next pictures, too.
    """
    from tui.lines.memory_line import alternatives_to, fit_on_worker

    fit = None if request.force else fit_on_worker(request, app.session)
    if fit is None or fit.verdict != "does not fit":
        return request
    others = alternatives_to(fit)
    answer = await app.push_screen_wait(_menu(fit, others))
    if answer is None:
        return None
    if answer == _FORCE:
        return replace(request, force=True)
    taken = others[int(answer)].request
    app.choose(
        replace(
            app.choices,
            quantization=taken.quantization,
            residency=taken.residency,
            width=taken.width,
            height=taken.height,
            reference_pixels=taken.reference_pixels,
        )
    )
    return taken


def _menu(fit: Fit, others: list[Fit]) -> Menu:
    need, limit = gigabytes(fit.plan.peak), gigabytes(fit.budget.limit)
    title = f"{fit.name} does not fit: {need} GB in {fit.plan.phase}, and {limit} GB are there."
    choices = [
        MenuLine(str(place), _name(other), _line(other), letter=str(place + 1)) for place, other in enumerate(others)
    ]
    force = MenuLine(_FORCE, "run it all the same", "it may be slow, or fail", letter="f")
    return Menu(title, [*choices, force])


def _name(fit: Fit) -> str:
    setting = fit.plan.facts
    size = f", {setting.width}×{setting.height}" if fit.smaller else ""
    return fit.level + size + ", smaller references" * fit.shrinks_references


def _line(fit: Fit) -> str:
    read = f", reads {gigabytes(fit.plan.read_per_step)} GB a step" if fit.plan.read_per_step else ""
    return f"{gigabytes(fit.plan.peak):>5} GB, {fit.verdict}{read}"
