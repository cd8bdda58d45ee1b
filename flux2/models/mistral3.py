"""Mistral Small 3, the text encoder of FLUX.2 Dev (transformers' `Mistral3ForConditionalGeneration`): its text part.

The checkpoint also holds a vision tower and its connection to the language model; text never passes through them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flux2.architecture.config_reader import ConfigReader
from flux2.models.language_model import LanguageModelConfig, read_language_model

HIDDEN_STATES_LAYERS = (10, 20, 30)

RENAMED = (
    ("language_model.model.", "model."),  # as transformers saves it
    ("model.language_model.", "model."),  # as transformers 5 has it in memory
    ("language_model.lm_head.", "lm_head."),
)
"""(prefix in a checkpoint's files, prefix of the same tensors in `LanguageModel`)."""
VISION = r"(model\.)?(vision_tower|multi_modal_projector)\..*"
"""A regular expression of the names of what only pictures need."""


def read_mistral3_config(values: Mapping[str, Any], file: str = "text_encoder/config.json") -> LanguageModelConfig:
    """Read the text part of config.json; unknown keys are ignored.

    Raises:
        CheckpointError: naming `file`, key and value of what is missing, makes no sense or is not supported.
    """
    read = ConfigReader(values, file)
    read.require("model_type", "mistral3")
    text = read.section("text_config")
    text.require("model_type", "mistral")
    text.support_only("sliding_window", None)
    return read_language_model(text, hidden_states_layers=HIDDEN_STATES_LAYERS, normalised_queries=False)
