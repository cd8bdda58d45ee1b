"""A ComfyUI graph, gone up link by link by what each node does; nodes that are not known end the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeGuard

from flux2.pictures.foreign import comfyui_nodes as known

MAX_NODES = 5000
_MAX_TEXT = 20_000
"""Characters of a text that is put together."""
_DEEPEST = 60
"""Texts within texts."""

Inputs = dict[str, Any]


class Node(NamedTuple):
    """A node, and its output by which it was reached."""

    name: str
    """Its id."""
    kind: str
    """Its class."""
    inputs: Inputs
    output: int = 0

    def __str__(self) -> str:
        return f"{self.kind or 'a node without a class'} (node {self.name})"


class UnknownNodeError(Exception):
    """A way up the graph ends at a node that is not known."""

    def __init__(self, where: object) -> None:
        super().__init__(f"it comes from {where}, which is not known")


class Graph:
    """All nodes by id. Ways up end with a node or value, or with an `UnknownNodeError`."""

    def __init__(self, nodes: dict[str, Any]) -> None:
        """
        Raises:
            ValueError: if it is no graph, or too large a one.
        """
        if len(nodes) > MAX_NODES:
            raise ValueError(f"its graph has more than {MAX_NODES} nodes")
        self.nodes = {
            str(name): Node(str(name), str(node.get("class_type") or ""), node["inputs"])
            for name, node in nodes.items()
            if isinstance(node, dict) and isinstance(node.get("inputs"), dict)
        }
        self.passed: dict[str, Node] = {}
        """Nodes on the ways so far that handed on what came in, or had a part in what was taken."""
        self._sources: dict[tuple[str, int], Any] = {}
        self._texts: dict[str, str] = {}

    def at(self, link: Any) -> Node:
        """The node at the other end of a link, whatever it does."""
        if not is_link(link) or str(link[0]) not in self.nodes:
            raise UnknownNodeError(f"node {str(link[0])[:20]}" if is_link(link) else "nowhere")
        return self.nodes[str(link[0])]._replace(output=link[1])

    def source(self, link: Any) -> Any:
        """The first node up the link that does not merely hand on what comes in, or the value that is handed on."""
        way: dict[tuple[str, int], None] = {}
        while is_link(link):
            node = self.at(link)
            place = (node.name, node.output)
            if place in way:
                raise UnknownNodeError(f"{node} in a circle")
            if place in self._sources:
                link = self._sources[place]
                break
            way[place] = None
            name = self._handed_on(node)
            if name is None:
                link = node
                break
            self.passed[node.name] = node
            if name not in node.inputs:
                raise UnknownNodeError(node)
            link = node.inputs[name]
        self._sources.update(dict.fromkeys(way, link))
        return link

    def _handed_on(self, node: Node) -> str | None:
        """The input that a node hands on at its output; None for a node that does something of its own."""
        if node.kind in known.SWITCHES:
            choice, where_true, where_false = known.SWITCHES[node.kind]
            chosen = self.source(node.inputs.get(choice))
            if not isinstance(chosen, bool):
                raise UnknownNodeError(node)
            return where_true if chosen else where_false
        if node.kind in known.NUMBERED:
            choice, name = known.NUMBERED[node.kind]
            return f"{name}{self.source(node.inputs.get(choice))}"
        if node.kind in known.FIRST_OF:
            return next((name for name, value in node.inputs.items() if is_link(value)), "")
        if hands_on := known.HANDS_ON.get(node.kind):
            names = hands_on.inputs
            return names[node.output] if node.output < len(names) else names[0]
        if "lora" in node.kind.lower():
            return next((name for name in ("model", "MODEL") if is_link(node.inputs.get(name))), None)
        return None

    def value(self, node: Node, *names: str) -> Any:
        """What the first of these inputs that the node has holds, or is linked to; None where it has none of them."""
        name = next((name for name in names if node.inputs.get(name) is not None), None)
        found = self.source(node.inputs[name]) if name is not None else None
        if isinstance(found, Node):
            raise UnknownNodeError(found)
        return found

    def text(self, value: Any, depth: int = 0) -> str:
        """The text that an input holds or is linked to, put together where it is made of several."""
        found = self.source(value)
        if isinstance(found, Node):
            if found.name not in self._texts:
                self._texts[found.name] = self._joined(found, depth)
            return self._texts[found.name]
        if not isinstance(found, str):
            raise UnknownNodeError("no text")
        return found

    def _joined(self, node: Node, depth: int) -> str:
        if node.kind not in known.JOINED or depth > _DEEPEST:
            raise UnknownNodeError(node)
        names, between, default = known.JOINED[node.kind]
        texts = [self.text(node.inputs[name], depth + 1) for name in names if node.inputs.get(name) not in (None, "")]
        text = str(node.inputs.get(between, default)).join(texts)
        if len(text) > _MAX_TEXT:
            raise UnknownNodeError(f"{node} with a text longer than any prompt")
        return text

    def loras(self) -> Iterator[tuple[str, Any]]:
        """LoRAs by name and weight of all loaders on the ways so far, and of the stacks that they take."""
        waiting = [node for node in self.passed.values() if _has_loras(node)]
        seen = {node.name for node in waiting}
        while waiting:
            node = waiting.pop()
            yield from _loras_of(node)
            for name, value in node.inputs.items():
                if (
                    "lora" in name.lower()
                    and is_link(value)
                    and str(value[0]) not in seen
                    and str(value[0]) in self.nodes
                ):
                    seen.add(str(value[0]))
                    waiting.append(self.nodes[str(value[0])])

    def above(self, starts: Iterable[Node]) -> set[str]:
        """Ids of all nodes that some nodes depend on, whatever they do."""
        seen: set[str] = set()
        waiting = list(starts)
        while waiting:
            for value in waiting.pop().inputs.values():
                if is_link(value) and (name := str(value[0])) in self.nodes and name not in seen:
                    seen.add(name)
                    waiting.append(self.nodes[name])
        return seen


def is_link(value: Any) -> TypeGuard[list[Any]]:
    """Whether an input's value is a link: another node's id, and which of its outputs."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str | int)
        and isinstance(value[1], int)
        and value[1] >= 0
    )


def _has_loras(node: Node) -> bool:
    return "lora" in node.kind.lower() or any(name.lower().startswith("lora") for name in node.inputs)


def _loras_of(node: Node) -> Iterator[tuple[str, Any]]:
    """The LoRAs that a node loads: `lora_name`, numbered names in stacks, objects, or lists of these; not those off."""
    named = "lora" not in node.kind.lower()
    count = node.inputs.get("lora_count")
    for name, value in node.inputs.items():
        number = name.rpartition("_")[2] if name[-1:].isdecimal() else ""
        if isinstance(count, int) and number.isdecimal() and int(number) > count:
            continue
        if isinstance(value, dict) and isinstance(value.get("__value__"), list):
            value = value["__value__"]
        for one in value if isinstance(value, list) and not is_link(value) else [value]:
            if isinstance(one, dict) and isinstance(lora := one.get("lora", one.get("name")), str):
                named = True
                if one.get("on", one.get("active", True)) and lora != "None":
                    yield lora, one.get("strength")
        if isinstance(value, str) and name.lower().startswith("lora") and "weight" not in name.lower():
            named = True
            off = str(node.inputs.get(f"switch_{number}", "On")).lower() == "off"
            if value not in ("None", "none", "") and not off:
                yield value, _weight_of(node, number)
    if not named and not any("lora" in name.lower() and is_link(value) for name, value in node.inputs.items()):
        yield f"of {node}", None


def _weight_of(node: Node, number: str) -> Any:
    tail = f"_{number}" if number else ""
    names = ("strength_model", "lora_strength", "strength", "model_weight", "lora_wt", "model_strength", "model_str")
    return next((node.inputs[f"{name}{tail}"] for name in names if f"{name}{tail}" in node.inputs), None)
