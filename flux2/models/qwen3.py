"""Qwen3, the text encoder of FLUX.2 Klein (transformers' `Qwen3ForCausalLM`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flux2.architecture.config_reader import ConfigReader
from flux2.models.language_model import LanguageModelConfig, read_language_model

HIDDEN_STATES_LAYERS = (9, 18, 27)


def read_qwen3_config(values: Mapping[str, Any], file: str = "text_encoder/config.json") -> LanguageModelConfig:
    """Read config.json; unknown keys are ignored.

    Raises:
        CheckpointError: naming `file`, key and value of what is missing, makes no sense or is not supported.
    """
    read = ConfigReader(values, file)
    read.require("model_type", "qwen3")
    read.support_only("attention_bias", False)
    read.support_only("use_sliding_window", False)
    return read_language_model(read, hidden_states_layers=HIDDEN_STATES_LAYERS, normalised_queries=True)
