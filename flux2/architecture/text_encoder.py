"""The text encoders that are known, one row each: how a config is read, what the files hold, how prompts are told.

To add one, add its row: a checkpoint is opened, planned and run by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from flux2.architecture.config_reader import ConfigReader, check_class
from flux2.architecture.language_model import LanguageModelConfig, language_model_shapes, read_language_model
from flux2.architecture.shapes import Shapes, repeated

_NOT_REACHED = r"lm_head\.weight|model\.norm\.weight|model\.layers\.\d+\..*"
"""The head, the norm before it, and layers after the last one whose hidden state is taken."""
_FOR_PICTURES = r"(model\.)?(vision_tower|multi_modal_projector)\..*"
"""What only pictures pass through."""

DEV_SYSTEM_MESSAGE = (
    "You are an AI that reasons about image descriptions. You give structured responses focusing on object "
    "relationships, object\nattribution and actions without speculation."
)
"""What FLUX.2 Dev was trained with, to the letter (diffusers' `flux2.system_messages.SYSTEM_MESSAGE`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptForm:
    """How a text encoder was told prompts when the model was trained."""

    padding_side: Literal["left", "right"]
    system_message: str = ""
    content_in_parts: bool = False
    """Whether the chat template takes a message as a list of parts (of which text is one kind)."""
    template_arguments: dict[str, Any] = field(default_factory=dict)
    removed: str = ""
    """A token that stands for a picture; in a prompt it would stand for nothing."""

    def messages(self, prompt: str) -> list[dict[str, Any]]:
        """The conversation that the chat template is given."""
        turns = [("system", self.system_message)] if self.system_message else []
        turns.append(("user", prompt.replace(self.removed, "") if self.removed else prompt))
        return [{"role": role, "content": self._content(text)} for role, text in turns]

    def _content(self, text: str) -> str | list[dict[str, str]]:
        return [{"type": "text", "text": text}] if self.content_in_parts else text


def _read_qwen3(read: ConfigReader) -> LanguageModelConfig:
    read.require("model_type", "qwen3")
    read.support_only("attention_bias", False)
    read.support_only("use_sliding_window", False)
    return read_language_model(
        read, hidden_states_layers=(9, 18, 27), normalised_queries=True, key_value_heads=32, head_dim=128
    )


def _read_mistral3(read: ConfigReader) -> LanguageModelConfig:
    read.require("model_type", "mistral3")
    text = read.section("text_config")
    text.require("model_type", "mistral")
    text.support_only("sliding_window", None)
    return read_language_model(
        text, hidden_states_layers=(10, 20, 30), normalised_queries=False, key_value_heads=8, head_dim=None
    )


def _mistral3_vision(read: ConfigReader, text_width: int) -> Shapes:
    """The tensors of Mistral's eyes, and of their connection to the language model."""
    vision = read.section("vision_config")
    width, feed_forward = vision.integer("hidden_size"), vision.integer("intermediate_size")
    attention = vision.integer("num_attention_heads") * vision.integer("head_dim")
    patch, merged = vision.integer("patch_size"), read.integer("spatial_merge_size") ** 2
    layer: Shapes = {
        **{f"attention.{name}_proj.weight": (attention, width) for name in "qkv"},
        "attention.o_proj.weight": (width, attention),
        "attention_norm.weight": (width,),
        "feed_forward.gate_proj.weight": (feed_forward, width),
        "feed_forward.up_proj.weight": (feed_forward, width),
        "feed_forward.down_proj.weight": (width, feed_forward),
        "ffn_norm.weight": (width,),
    }
    shapes: Shapes = {
        "vision_tower.patch_conv.weight": (width, vision.integer("num_channels"), patch, patch),
        "vision_tower.ln_pre.weight": (width,),
        "multi_modal_projector.norm.weight": (width,),
        "multi_modal_projector.patch_merger.merging_layer.weight": (width, width * merged),
        "multi_modal_projector.linear_1.weight": (text_width, width),
        "multi_modal_projector.linear_2.weight": (text_width, text_width),
    }
    return shapes | repeated("vision_tower.transformer.layers", vision.integer("num_hidden_layers"), layer)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEncoder:
    """One kind of text encoder."""

    class_name: str
    """Its class in transformers, by which a checkpoint's config names it (`architectures`)."""
    read: Callable[[ConfigReader], LanguageModelConfig]
    """Reads what is computed with."""
    prompt_form: PromptForm
    unused: str
    """A regular expression of names, as in `LanguageModel`, of tensors that are never read."""
    renamed: tuple[tuple[str, str], ...] = ()
    """(prefix in the files, prefix of the same tensors in `LanguageModel`), the first that fits; where there are any,
    the first prefix of the language model's is the one that transformers saves it under."""
    vision: Callable[[ConfigReader, int], Shapes] | None = None
    """The tensors that pictures pass through, for a language model of this width."""

    def read_config(self, values: Mapping[str, Any], file: str = "text_encoder/config.json") -> LanguageModelConfig:
        """The language model's constants; unknown keys are ignored, and defaults are transformers'.

        Raises:
            CheckpointError: naming `file`, key and value of what is missing, makes no sense or is not supported.
        """
        return self.read(ConfigReader(values, file))

    def shapes(self, values: Mapping[str, Any], file: str = "text_encoder/config.json") -> Shapes:
        """Names and shapes of all tensors in its files, used or not; raises as `read_config` does."""
        config = self.read_config(values, file)
        shapes = {self.name_in_files(name): shape for name, shape in language_model_shapes(config).items()}
        return shapes | (self.vision(ConfigReader(values, file), config.hidden_size) if self.vision else {})

    def name_in_files(self, name: str) -> str:
        """The name that transformers saves a tensor of `LanguageModel` under."""
        old, new = next((pair for pair in self.renamed if name.startswith(pair[1])), ("", ""))
        return old + name.removeprefix(new)


TEXT_ENCODERS = {
    row.class_name: row
    for row in (
        TextEncoder(
            class_name="Qwen3ForCausalLM",
            read=_read_qwen3,
            prompt_form=PromptForm(
                padding_side="right", template_arguments={"add_generation_prompt": True, "enable_thinking": False}
            ),
            unused=_NOT_REACHED,
        ),
        TextEncoder(
            class_name="Mistral3ForConditionalGeneration",
            read=_read_mistral3,
            prompt_form=PromptForm(
                padding_side="left", system_message=DEV_SYSTEM_MESSAGE, content_in_parts=True, removed="[IMG]"
            ),
            unused=f"{_NOT_REACHED}|{_FOR_PICTURES}|tekken_model",  # ComfyUI's files have the tokenizer inside
            renamed=(
                ("language_model.model.", "model."),  # as transformers saves it
                ("model.language_model.", "model."),  # as transformers 5 has it in memory
                ("language_model.lm_head.", "lm_head."),
            ),
            vision=_mistral3_vision,
        ),
    )
}
"""Rows by the class that a checkpoint's config names."""


def find_text_encoder(values: Mapping[str, Any], file: str = "text_encoder/config.json") -> TextEncoder:
    """The row of the class that a text encoder's config.json names.

    Raises:
        CheckpointError: naming `file` and the class, where it is none of these.
    """
    return TEXT_ENCODERS[check_class(file, values.get("architectures"), tuple(TEXT_ENCODERS))]
