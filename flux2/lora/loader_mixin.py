"""The part of `Flux2Pipeline` that is about LoRAs, under diffusers' names.

>>> pipe.load_lora_weights("style.safetensors")
>>> pipe.load_lora_weights("fal/FLUX.2-dev-Turbo", adapter_name="turbo")
>>> pipe.set_adapters(["style", "turbo"], [0.8, 1.0])
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from flux2 import events as ev
from flux2.errors import RequestError
from flux2.inputs.loras import Lora
from flux2.lora.held import HeldLoras
from flux2.reporting import RunReport
from flux2.request import GenerationRequest
from flux2.request_fields import number


class LoraLoaderMixin:
    """LoRAs that calls of a pipeline use, by names of the user's own."""

    _loras: HeldLoras
    _adapters: dict[str, Lora]
    _active: tuple[str, ...]

    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict: str | PathLike[str],
        adapter_name: str | None = None,
        *,
        weight_name: str | None = None,
        scale: float = 1.0,
    ) -> None:
        """Find a LoRA, download it if need be, and use it in calls from now on; its numbers are read by the next one.

        Args:
            pretrained_model_name_or_path_or_dict: a file, the name of one in the folder for LoRAs, a folder with
                `weight_name` in it, or a Hub repository. A dictionary of tensors is not taken: save it first.
            adapter_name: what `set_adapters` knows it by; None is the file's name without its ending.
            weight_name: which file of a folder or repository; None where there is one.
            scale: how strongly it changes the model.

        Raises:
            RequestError: if there is none, or the name is taken.
            LoraError: if it can't be applied to this model: damaged, of an unknown kind, or made for another one.
            CheckpointError: if it can't be downloaded.
        """
        if isinstance(pretrained_model_name_or_path_or_dict, Mapping):
            raise RequestError("A LoRA is read from a file; save the tensors with safetensors, and name that.")
        source = _named(fspath(pretrained_model_name_or_path_or_dict), weight_name)
        (lora,) = self._loras.find([Lora(source, scale=scale)])
        if complaint := lora.complaint():
            raise RequestError(complaint)
        name = adapter_name or lora.title
        if name in self._adapters:
            raise RequestError(f"There is an adapter {name!r} already; give another adapter_name, or delete that one.")
        self._adapters[name] = lora
        self._active = (*self._active, name)

    def set_adapters(
        self, adapter_names: str | Sequence[str], adapter_weights: float | Sequence[float] | None = None
    ) -> None:
        """Use these of the loaded LoRAs and no others, each with its scale; None is 1.

        Raises:
            RequestError: if one is not loaded, or the numbers differ.
        """
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        given: Any = adapter_weights
        several = isinstance(given, Iterable) and not isinstance(given, str)
        scales = list(given) if several else [given] * len(names)
        if len(scales) != len(names):
            raise RequestError(f"There are {len(names)} adapter_names and {len(scales)} adapter_weights; give as many.")
        changed = {}
        for name, scale in zip(names, scales, strict=True):
            checked = number("adapter_weights", scale)
            changed[name] = replace(self._loaded(name), scale=1.0 if checked is None else checked)
            if complaint := changed[name].complaint():
                raise RequestError(complaint)
        self._adapters |= changed
        self._active = tuple(names)

    def unload_lora_weights(self) -> None:
        """Use no LoRAs any more, and let go of them."""
        self._adapters.clear()
        self._active = ()
        self._loras.forget()

    def delete_adapters(self, adapter_names: str | Sequence[str]) -> None:
        """Let go of these LoRAs.

        Raises:
            RequestError: if one is not loaded.
        """
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        for name in names:
            self._loaded(name)
        self._active = tuple(name for name in self._active if name not in names)
        for name in names:
            del self._adapters[name]

    def disable_lora(self) -> None:
        """Use none of them, until `enable_lora` or `set_adapters`."""
        self._active = ()

    def enable_lora(self) -> None:
        """Use all that are loaded."""
        self._active = tuple(self._adapters)

    def get_active_adapters(self) -> list[str]:
        """Names of those that calls use."""
        return list(self._active)

    def get_list_adapters(self) -> dict[str, list[str]]:
        """Names of those that are loaded, by the part of the model that they change."""
        return {"transformer": list(self._adapters)} if self._adapters else {}

    @property
    def active_loras(self) -> tuple[Lora, ...]:
        """What calls use."""
        return tuple(self._adapters[name] for name in self._active)

    def with_loras_found(self, request: GenerationRequest, report: RunReport) -> GenerationRequest:
        """The request with the digests of its LoRAs, which are here and fit; those on the Hub alone are downloaded.

        Raises:
            RequestError: if there is no such file.
            LoraError: if one can't be applied to this model.
            CheckpointError: if one is damaged, or can't be downloaded.
            DownloadStopped: if the run is to be cancelled.
        """
        if not request.loras:
            return request

        def on_progress(event: ev.DownloadProgress) -> None:
            report.on_event(replace(event, run=report.run))

        found = self._loras.find(request.loras, report.log, on_progress, report.should_cancel)
        return replace(request, loras=found)

    def _loaded(self, name: str) -> Lora:
        if name not in self._adapters:
            there = ", ".join(self._adapters) or "none"
            raise RequestError(f"There is no adapter {name!r}: loaded are {there}; call load_lora_weights first.")
        return self._adapters[name]


def _named(source: str, weight_name: str | None) -> str:
    """How a request names the file."""
    if weight_name is None:
        return source
    return str(Path(source) / weight_name) if Path(source).is_dir() else f"{source}:{weight_name}"
