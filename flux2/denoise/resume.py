"""What a broken-off run is taken up from: its latents after the last steps, kept on disk while it goes on.

Denoising draws no random numbers after its first noise, so that a run that is taken up makes, bit for bit, the picture
it would have made. What the picture depends on is kept beside the latents; where it has changed the run begins anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from flux2 import __version__
from flux2.backend import blas
from flux2.backend.mlx import mx
from flux2.checkpoint.safetensors_file import read_header, read_metadata, read_tensor
from flux2.denoise.steps import Step, unpack
from flux2.denoise.watched import OnStep
from flux2.disk.atomic import write_atomically
from flux2.disk.digest import digest
from flux2.disk.private import check_own, make_private
from flux2.errors import CheckpointError, Flux2Error
from flux2.reporting import RunReport
from flux2.request import GenerationRequest
from flux2.request_fields import decisive

KEEP_EVERY = 15.0
"""Seconds between one keeping and the next: what a crash costs at most, and a step, where steps take longer."""


class Progress(NamedTuple):
    """How far a run has come."""

    step: int
    """Steps done."""
    latents: npt.NDArray[np.float32]
    """After them, [1, channels, H/16, W/16]."""


@dataclass(slots=True)
class RunState:
    """The file of one run."""

    path: Path
    identity: str
    """Digest of what the picture depends on, by `identify`."""
    keep_every: float = field(default_factory=lambda: KEEP_EVERY)
    _kept_at: float = field(default_factory=time.monotonic)
    _fails: bool = False

    def take_up(self, report: RunReport) -> Progress | None:
        """How far the run had come; None, after a warning where there is a reason, if it begins anew."""
        try:
            progress = self.load()
        except CheckpointError as error:
            report.warn(f"{error}; it begins anew.")
            self.forget()
            return None
        if progress:
            report.log(f"The run is taken up after step {progress.step}.")
        return progress

    def keeper(self, request: GenerationRequest, report: RunReport) -> OnStep:
        """A function that keeps the latents after each step but the last; a disk that is full is said once."""
        assert request.steps and request.height and request.width
        steps, height, width = request.steps, request.height, request.width

        def keep(step: Step) -> None:
            if self._fails or step.number == steps:
                return
            try:
                self.keep(step.number, step.latents, height, width)
            except Flux2Error as error:
                self._fails = True
                report.warn(str(error))

        return keep

    def load(self) -> Progress | None:
        """What was kept; None if nothing was.

        Raises:
            CheckpointError: if it is damaged, or of another request, model or version; the run must begin anew.
        """
        try:
            check_own(self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CheckpointError(f"What was kept of this run can't be used: {str(error).rstrip('.')}") from error
        found = read_metadata(self.path)
        if found.get("identity") != self.identity:
            raise CheckpointError("What was kept of this run is of another request, model, version or processor")
        tensors = read_header(self.path)
        if set(tensors) != {"latents"} or not str(found.get("step", "")).isdigit():
            raise CheckpointError("What was kept of this run is damaged")
        latents = np.array(read_tensor(tensors["latents"]))
        step = int(found["step"])
        if found.get("digest") != _digest(step, latents):
            raise CheckpointError("What was kept of this run is damaged")
        return Progress(step, latents)

    def keep(self, step: int, latents: mx.array, height: int, width: int) -> None:
        """Keep packed latents, if it is time to: whole, or not at all.

        Raises:
            Flux2Error: if the disk is full or can't be written.
        """
        now = time.monotonic()
        if now - self._kept_at < self.keep_every:
            return
        self._kept_at = now
        array = np.ascontiguousarray(unpack(latents, height, width))  # safetensors takes no notice of strides
        metadata = {"identity": self.identity, "step": str(step), "digest": _digest(step, array)}
        try:
            make_private(self.path.parent)
            write_atomically(self.path, save({"latents": array}, metadata))
        except OSError as error:
            raise Flux2Error(f"Step {step} can't be kept in {self.path} ({error}); free some disk space.") from error

    def forget(self) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink()


def identify(request: GenerationRequest, dtype: str, files: object) -> str:
    """A digest of all that decides what the picture will be.

    Args:
        request: with its defaults filled in.
        dtype: what is computed in.
        files: what tells the checkpoint's files from others, as `Checkpoint.stamps`.
    """
    decides = decisive(request) | {
        "dtype": dtype,
        "device": str(mx.default_device()),
        "processor": [str(mx.device_info().get("device_name")), blas.kernels()],
        "files": files,
        "versions": [__version__, version("mlx")],
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _digest(step: int, array: npt.NDArray[np.float32]) -> str:
    return digest(json.dumps([step, array.shape]), np.ascontiguousarray(array).data.cast("B"))
