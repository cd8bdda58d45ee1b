"""What a run would take, for the menus and the question before it: the planner's numbers, or measured ones.

Imported with the first menu: the planner is not needed for the first frame.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from textual.content import Content

from flux2.architecture.limits import DeviceType
from flux2.errors import Flux2Error
from flux2.humanize import gigabytes
from flux2.inputs.checks import AUTO
from flux2.planning.budget import Budget, Verdict
from flux2.planning.fit import Fit, alternatives, weigh
from flux2.planning.measured_peaks import measured_peak
from flux2.planning.run_facts import Engine
from flux2.store.configs import networks_for
from tui.lines.memory_figures import allowed

if TYPE_CHECKING:
    from flux2.request import GenerationRequest
    from tui.state.choices import Choices
    from tui.state.session import Session

_STYLES: dict[Verdict, str] = {"fits": "$success", "tight": "$warning", "does not fit": "$error"}
_WIDEST = max(map(len, _STYLES))
_UNKNOWN_LIMIT = 1 << 60
"""Bytes, while no worker has told of its device."""


def fit_on_worker(request: GenerationRequest, session: Session) -> Fit | None:
    """How a request compares with the worker's machine; None where nothing is known of its model."""
    try:
        networks = networks_for(request)
        return weigh(request, networks, _worker_engine(session), _worker_budget(session))
    except Flux2Error:
        return None


def alternatives_to(fit: Fit) -> list[Fit]:
    """What would fit in its place, the best first."""
    return alternatives(fit, networks_for(fit.request))


def memory_line(choices: Choices, session: Session) -> Content:
    """`fits   active 2.18 GB, peak 3.34 GB predicted`; nothing where nothing is known."""
    try:
        request = replace(choices, prompt="-").request()
    except Flux2Error:
        return Content("")
    fit = fit_on_worker(request, session)
    if fit is None:
        return Content("")
    measured = measured_peak(fit.request, fit.plan)
    peak = measured or fit.plan.peak
    verdict = fit.budget.judge(peak)
    decided = f"{fit.level}: " if AUTO in (request.quantization, request.residency) else ""
    parts = [
        f"active {gigabytes(fit.plan.weights)} GB",
        f"peak {gigabytes(peak)} GB {'measured' if measured else 'predicted'}",
        *([f"reads {gigabytes(fit.plan.read_per_step)} GB a step"] if fit.plan.read_per_step else []),
    ]
    judged = (f"{verdict:<{_WIDEST}}  ", _STYLES[verdict]) if session.memory_limit > 0 else ""
    return Content.assemble(judged, (decided + ", ".join(parts), "$muted"))


def _worker_engine(session: Session) -> Engine:
    """The worker's; a Mac's while none is there."""
    backend = session.worker.backend if session.worker else ""
    return Engine(dtype="float32" if backend == "cpu" else "bfloat16", device=cast(DeviceType, backend or "gpu"))


def _worker_budget(session: Session) -> Budget:
    limit = allowed(session)
    if not limit or session.memory is None:
        return Budget(limit=limit or _UNKNOWN_LIMIT, available=limit or _UNKNOWN_LIMIT)
    return Budget.now(limit, session.memory)
