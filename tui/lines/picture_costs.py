"""What reference pictures take of a run: tokens, time of a step, memory. Imported once there are any."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flux2.architecture.reference_sizes import PreparedSize, prepared_size
from flux2.errors import Flux2Error
from flux2.planning.output_size import reference_pixels
from flux2.planning.step_work import growth
from flux2.store.configs import networks_for
from tui.lines.memory_line import fit_on_worker
from tui.state.handing_in import HandedIn, handed_in

if TYPE_CHECKING:
    from tui.state.choices import Choices
    from tui.state.session import Session


@dataclass(frozen=True, slots=True)
class Costs:
    """What all references take together."""

    tokens: int = 0
    times: float = 0.0
    """How many times as long a step takes as without them; 0 where nothing is known of the model."""
    memory: int = 0
    """Bytes that the peak is higher; 0 where it is not, or nothing is known."""

    def time_share(self, tokens: int) -> float:
        """Share of a step's time, 0 to 1, that one with so many tokens takes."""
        return (1 - 1 / self.times) * tokens / self.tokens if self.times and self.tokens else 0.0

    def memory_share(self, tokens: int) -> float:
        """Bytes of the peak that one with so many tokens takes."""
        return self.memory * tokens / self.tokens if self.tokens else 0.0


def prepared(choices: Choices, item: HandedIn) -> PreparedSize:
    """What a picture is shrunk and cropped to where the model is shown it as a reference."""
    return prepared_size(
        max(1, item.picture.width), max(1, item.picture.height), reference_pixels(choices, choices.card)
    )


def costs_of(choices: Choices, session: Session) -> Costs:
    """What the references of the next picture take, the source where it is one included."""
    tokens = sum(prepared(choices, item).tokens for item in handed_in(choices) if item.number)
    if not tokens:
        return Costs()
    try:
        request = replace(choices, prompt="-").request()
        networks = networks_for(request)
    except Flux2Error:
        return Costs(tokens)
    with_all = fit_on_worker(request, session)
    without = fit_on_worker(replace(request, references=(), source_as_reference=False), session)
    times = 0.0
    if with_all is not None:
        text = request.max_sequence_length or networks.text_tokens
        times = growth(networks.transformer, replace(with_all.plan.facts, text_tokens=text))
    more = with_all.plan.peak - without.plan.peak if with_all and without else 0
    return Costs(tokens, times, max(0, more))
