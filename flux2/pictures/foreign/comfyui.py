"""ComfyUI: the graph that was run, in the text `prompt`, gone up from what saved the picture.

`workflow`, the drawing of the graph, names values by their place alone and is no substitute for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from flux2.pictures.foreign import comfyui_nodes as known
from flux2.pictures.foreign.candidate import Candidate
from flux2.pictures.foreign.comfyui_graph import Graph, Node, UnknownNodeError, is_link
from flux2.pictures.foreign.found import NO_PICTURES, OWN_SAMPLER, FoundSettings, number

_MAX_SAVES = 64
_ONE_PASS = "a picture is made in one pass here"


def read_comfyui(candidate: Candidate) -> FoundSettings | None:
    """Settings of a picture by ComfyUI: those of the sampler whose output was saved."""
    data = candidate.data
    if isinstance(data.get("prompt"), dict):  # as it is sent to ComfyUI's server
        data = data["prompt"]
    if isinstance(data.get("nodes"), list) and "links" in data:
        return _explained(candidate)
    if not any(isinstance(node, dict) and "class_type" in node for node in data.values()):
        return None
    found = FoundSettings("ComfyUI")
    graph = Graph(data)
    sampler = _sampler_of_this(graph, candidate.path_name, found)
    if sampler is not None:
        _Reading(graph, sampler, found).take_all()
    return found


def _explained(candidate: Candidate) -> FoundSettings:
    found = FoundSettings("ComfyUI")
    if "prompt" not in candidate.others:
        found.not_understood.append(
            "ComfyUI's workflow without the graph that was run (it names no values; run it in ComfyUI and save again)"
        )
    return found


# --- which sampler ----------------------------------------------------------------------------------------------------


def _sampler_of_this(graph: Graph, path_name: str, found: FoundSettings) -> Node | None:
    """The sampler whose output is this picture; None, and a word about it, where that can't be told."""
    samplers = {node.name: node for node in graph.nodes.values() if _samples(node)}
    if not samplers:
        found.not_understood.append("ComfyUI's graph, in which there is no sampler that is known")
        return None
    ways = [_way_to_sampler(graph, save, samplers) for save in _saving(graph, path_name)]
    reached = {sampler.name: sampler for sampler, _ in ways if sampler is not None}
    if not ways:  # a graph without its end: the samplers whose output goes to no other
        fed = graph.above(samplers.values())
        reached = {name: node for name, node in samplers.items() if name not in fed}
    if len(reached) == 1:
        sampler = next(iter(reached.values()))
        if trouble := next((trouble for one, trouble in ways if one is sampler and trouble), ""):
            found.leave_out("what was done to the picture afterwards", "", trouble)
        return sampler
    if reached:
        names = ", ".join(str(node) for node in list(reached.values())[:4])
        found.not_understood.append(f"which of {len(reached)} samplers made this picture ({names})")
    else:
        found.not_understood.append(f"the way from the picture to a sampler ({ways[0][1]})")
    return None


def _samples(node: Node) -> bool:
    inputs = node.inputs
    guided = any(is_link(inputs.get(name)) for name in ("positive", "guider", "conditioning"))
    return node.kind in known.SAMPLERS or ("Sampler" in node.kind and guided and is_link(inputs.get("latent_image")))


def _saving(graph: Graph, path_name: str) -> list[Node]:
    """The nodes that may have saved this picture: those whose prefix its name has, else all that save."""
    ends = [node for node in graph.nodes.values() if _picture_of(node) is not None]
    ends = [node for node in ends if "save" in node.kind.lower()] or [node for node in ends if "Preview" in node.kind]
    ends = ends[:_MAX_SAVES]
    stem = PurePath(path_name).stem
    prefixed = [node for node in ends if (prefix := _prefix(node)) and stem.startswith(prefix)]
    longest = max((len(_prefix(node)) for node in prefixed), default=0)
    return [node for node in prefixed if len(_prefix(node)) == longest] or ends


def _prefix(node: Node) -> str:
    prefix = node.inputs.get("filename_prefix")
    return prefix.replace("\\", "/").rpartition("/")[2] if isinstance(prefix, str) else ""


def _picture_of(node: Node) -> Any:
    return next((node.inputs[name] for name in ("images", "image") if is_link(node.inputs.get(name))), None)


def _way_to_sampler(graph: Graph, save: Node, samplers: dict[str, Node]) -> tuple[Node | None, str]:
    """The sampler that a saved picture comes from, and what was not known on the way."""
    try:
        source = graph.source(_picture_of(save))
        if isinstance(source, Node) and source.name in samplers:
            return samplers[source.name], ""
        trouble = str(UnknownNodeError(source))
    except UnknownNodeError as error:
        trouble = str(error)
    only = [samplers[name] for name in graph.above([save]) if name in samplers]
    return (only[0] if len(only) == 1 else None), trouble


# --- what it was given ------------------------------------------------------------------------------------------------


class _Reading:
    """One sampler's inputs, each looked up for itself: one that can't be is named, and the others are taken."""

    def __init__(self, graph: Graph, sampler: Node, found: FoundSettings) -> None:
        self._graph, self._sampler, self._found = graph, sampler, found
        self._guider: Node = sampler
        self._sigmas: Node = sampler
        self._guidance: Node | None = None

    def take_all(self) -> None:
        if self._tried("prompt, model and guidance", self._find_guider):
            self._tried("model", self._take_model)
            self._tried("prompt", self._take_prompt)
            self._tried("negative prompt", self._take_negative)
            self._tried("guidance", self._take_guidance)
        if self._tried("steps", self._find_schedule):
            self._tried("steps", self._take_steps)
        self._tried("seed", self._take_seed)
        self._tried("size", self._take_size)
        self._name_the_rest()

    def _tried(self, name: str, take: Callable[[], None]) -> bool:
        try:
            take()
        except UnknownNodeError as error:
            self._found.leave_out(name, "", str(error))
            return False
        return True

    def _find_guider(self) -> None:
        if is_link(link := self._sampler.inputs.get("guider")):
            node = self._source(link)
            if node.kind not in known.GUIDERS:
                raise UnknownNodeError(node)
            self._guider = node

    def _find_schedule(self) -> None:
        if is_link(link := self._sampler.inputs.get("sigmas")):
            node = self._source(link)
            if node.kind not in known.STEPS:
                raise UnknownNodeError(node)
            self._sigmas = node

    def _take_prompt(self) -> None:
        name = known.GUIDERS.get(self._guider.kind, "positive")
        if name not in self._guider.inputs and "conditioning" in self._guider.inputs:
            name = "conditioning"
        self._found.take_prompts(self._words(self._guider.inputs.get(name)))

    def _take_negative(self) -> None:
        inputs = self._guider.inputs
        link = inputs.get("negative", inputs.get("neg_conditioning"))
        if is_link(link):
            guidance = self._guidance
            self._found.take_text("negative_prompt", self._words(link))
            self._guidance = guidance  # which counts on the prompt's side

    def _words(self, link: Any) -> str:
        """The words of a conditioning."""
        node = self._source(link)
        if node.kind in known.NO_TEXT:
            return ""
        if node.kind in known.BOTH:
            first, second = (self._words_once(node.inputs.get(name)) for name in known.BOTH[node.kind])
            self._found.leave_out("a second prompt", second, "one prompt is drawn here")
            return first
        return self._words_once(node)

    def _words_once(self, link: Any) -> str:
        node = link if isinstance(link, Node) else self._source(link)
        if node.kind in known.NO_TEXT:
            return ""
        names = known.TEXTS.get(node.kind, {}).get(node.output)
        if names is None:
            raise UnknownNodeError(node)
        self._see_guidance(node)
        texts = [self._graph.text(node.inputs[name]) for name in names if node.inputs.get(name) not in (None, "")]
        for other in dict.fromkeys(texts[1:]):
            if other != texts[0]:
                self._found.leave_out("a second text", other, "FLUX.2 reads one")
        return texts[0] if texts else ""

    def _source(self, link: Any) -> Node:
        before = set(self._graph.passed)
        node = self._node(link)
        for passed in self._graph.passed.values():
            if passed.name not in before:
                self._see_guidance(passed)
        return node

    def _node(self, link: Any) -> Node:
        node = self._graph.source(link)
        if not isinstance(node, Node):
            raise UnknownNodeError("nowhere")
        return node

    def _see_guidance(self, node: Node) -> None:
        """Remember the node nearest to the sampler with a guidance that the network takes itself."""
        if node.kind in ("FluxGuidance", "CLIPTextEncodeFlux") and self._guidance is None:
            self._guidance = node

    def _take_steps(self) -> None:
        self._found.take("steps", self._graph.value(self._sigmas, "steps"))
        part = self._graph.value(self._sigmas, "denoise", "denoise_strength")
        if number(part) not in (None, 1):
            self._found.leave_out("denoise", part, NO_PICTURES)

    def _take_seed(self) -> None:
        noise = self._sampler
        if is_link(link := self._sampler.inputs.get("noise")):
            noise = self._source(link)
            if "noise_seed" not in noise.inputs and "seed" not in noise.inputs:
                raise UnknownNodeError(noise)
        self._found.take("seed", self._graph.value(noise, "noise_seed", "seed"))

    def _take_size(self) -> None:
        node = self._latent()
        if node.kind in known.FROM_PICTURES:
            self._found.leave_out("input picture, and its size", "", NO_PICTURES)
            return
        names = known.LATENTS.get(node.kind, ("width", "height") if node is self._sigmas else None)
        if names is None:
            raise UnknownNodeError(node)
        if number(node.inputs.get("batch_size")) not in (None, 1):
            self._found.leave_out("batch size", node.inputs["batch_size"], "one picture is made at a time")
        if len(names) == 1:
            self._found.take_size_text(self._graph.value(node, *names))
        else:
            self._found.take_size(*(self._graph.value(node, name) for name in names))

    def _latent(self) -> Node:
        """The node that says the size of the latent; passes before this one are named on the way to it."""
        link = self._sampler.inputs.get("latent_image", self._sampler.inputs.get("latent"))
        if not is_link(link):
            return self._sigmas  # whose schedule may know the size, too
        said: Node | None = None
        seen: set[str] = {self._sampler.name}
        while True:
            node = self._node(link)
            if node.name in seen:
                raise UnknownNodeError(f"{node} in a circle")
            seen.add(node.name)
            if _samples(node):
                self._found.leave_out(f"an earlier pass of {node}", "", _ONE_PASS)
            elif node.kind == "LatentUpscale":
                said = said or node
            elif node.kind not in known.FROM_PICTURES or not is_link(node.inputs.get("pixels")):
                return said or node
            name = next((name for name in ("latent_image", "samples", "pixels") if is_link(node.inputs.get(name))), "")
            if not name:
                return said or node
            link = node.inputs[name]

    def _take_model(self) -> None:
        link = self._guider.inputs.get("model", self._sampler.inputs.get("model"))
        if link is None:
            return
        node = self._source(link)
        if node.kind not in known.MODELS:
            raise UnknownNodeError(node)
        self._graph.passed[node.name] = node
        self._found.take_model(self._graph.value(node, known.MODELS[node.kind]))

    def _take_guidance(self) -> None:
        one_pass = self._guider.kind == "BasicGuider"
        cfg = 1 if one_pass else self._graph.value(self._guider, "cfg", "true_gs")
        embedded = self._graph.value(self._guidance, "guidance") if self._guidance else None
        self._found.take_guidance(cfg, embedded, cfg_may_be_embedded=False)

    def _name_the_rest(self) -> None:
        """What the nodes on the way do that is not done here."""
        for lora, weight in self._graph.loras():
            self._found.take_lora(lora, weight)
        for node in self._graph.passed.values():
            if (hands_on := known.HANDS_ON.get(node.kind)) and hands_on.does:
                self._found.leave_out(hands_on.does, f"({node.kind})", "it is not done here")
        link = self._sampler.inputs.get("sampler")
        chosen = self._graph.nodes.get(str(link[0]), self._sampler) if is_link(link) else self._sampler
        said = {
            "sampler": chosen.inputs.get("sampler_name"),
            "scheduler": self._sigmas.inputs.get("scheduler"),
            "start_at_step": self._sampler.inputs.get("start_at_step") or None,
        }
        said = {name: value for name, value in said.items() if not is_link(value)}
        self._found.leave_out_rest(said, dict.fromkeys(said, OWN_SAMPLER), ())
