"""Every event survives the wire and the journal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux2 import events as ev
from flux2.events import EVENT_TYPES, Event, from_wire, to_wire

_numbers = st.integers(0, 2**62)
_seconds = st.floats(0, allow_infinity=False)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_memory = st.builds(
    ev.Memory,
    active=_numbers,
    peak=_numbers,
    cache=_numbers,
    footprint=_numbers,
    available=_numbers,
    swap=_numbers,
)
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("run", "phase", "unit", "message", "details", "path", "level", "model", "state"), st.text()),
    **dict.fromkeys(("time", "started", "seconds", "sigma", "waited", "bytes_per_second"), _seconds),
    **dict.fromkeys(("done", "total", "step", "steps", "first_step", "width", "height", "seed"), _numbers),
    "request": st.dictionaries(st.text(), _json),
    "phases": st.lists(st.text()).map(tuple),
    "items": st.lists(st.dictionaries(st.text(), _json), max_size=3).map(tuple),
    "memory": _memory,
    "held": st.booleans(),
    "png": st.binary(),
    **dict.fromkeys(("peaks", "planned"), st.dictionaries(st.text(), _numbers)),
    "timings": st.dictionaries(st.text(), _seconds),
}
_events = st.one_of(
    st.builds(cls, **{name: _FIELDS[name] for name in cls.__dataclass_fields__}) for cls in EVENT_TYPES.values()
)


_MEMORY = {"active": 1, "peak": 2, "cache": 3}


def test_every_event_type_is_registered() -> None:
    declared = [cls for cls in Event.__subclasses__() if cls.__module__ == ev.__name__]
    assert {cls.__name__: cls for cls in declared} == EVENT_TYPES


@given(_events)
def test_round_trip_through_json(event: Event) -> None:
    data, blob = to_wire(event)
    assert from_wire(json.loads(json.dumps(data)), blob) == event


@given(_events, st.text(min_size=12))
def test_fields_of_a_later_version_are_ignored(event: Event, name: str) -> None:
    data, blob = to_wire(event)
    if "memory" in data:
        data["memory"] = {**data["memory"], name: 1}
    assert from_wire({**data, name: 1}, blob) == event


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"event": None},
        {"event": "Event"},
        {"event": "StepFinished", "step": 1},
        {"event": "PhaseStarted", "phase": "load", "memory": {}},
        {"event": "PhaseStarted", "phase": "load", "memory": 5},
        {"event": "PhaseStarted", "phase": "load", "memory": "full"},
        {"event": "QueueChanged", "items": 5},
        {"event": "RunStarted", "request": {}, "phases": None},
        {"event": "RunStarted", "request": [], "phases": []},
        {"event": "RunStarted", "request": {}, "phases": "denoise"},
        {"event": "RunCancelled", "time": "noon"},
        {"event": "RunCancelled", "time": 10**400},
        {"event": "PhaseFinished", "phase": "load", "started": True, "seconds": 0.1, "memory": dict(_MEMORY)},
        {"event": "MemorySampled", "phase": "load", "memory": {**_MEMORY, "active": "1"}},
        {"event": "QueueChanged", "items": [[]]},
        {"event": "RunFinished", "path": "", "seed": 1, "seconds": 0.1, "peaks": {"load": "1"}, "timings": {}},
    ],
)
def test_what_is_no_event_is_a_value_error(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        from_wire(data)


def test_whole_numbers_do_for_seconds() -> None:
    event = from_wire({"event": "RunCancelled", "time": 5})
    assert type(event.time) is float


def test_a_preview_travels_beside_its_json() -> None:
    data, blob = to_wire(ev.Preview(run="r", step=1, steps=4, width=2, height=2, png=b"\x89PNG"))
    assert blob == b"\x89PNG" and "png" not in data
