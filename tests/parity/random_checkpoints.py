"""Small random FLUX.2 checkpoints, made with diffusers' and transformers' own classes (extra `reference`).

Every checkpoint differs from the others where an engine is tempted to write a constant: head counts, grouped-query
ratios, RoPE axes and bases, epsilons (large enough to matter), MLP ratios, VAE widths and groups, latent channels,
sharding, stored dtypes, the older spelling of configs.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
)
from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
)

# Qwen3's chat form, as far as the pipeline uses it: user turns, the generation prompt, an empty thought.
CHAT_TEMPLATE = """\
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}
{%- endif %}"""
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
TRAINING_SENTENCES = [
    "a red fox in the snow",
    "a fluffy orange tabby cat sitting on a windowsill at sunset",
    "two boats on a lake, early in the morning",
    "user assistant system think",
]
VOCABULARY_SIZE = 320
# The pipelines take the hidden states after 9, 18 and 27 layers of Qwen3, 10, 20 and 30 of Mistral; one layer more
# keeps the last of them free of the final norm.
QWEN3_LAYERS, MISTRAL_LAYERS = 28, 31

# Mistral Small 3's chat form, as far as the pipeline uses it: every message in brackets of its role, as parts of text.
MISTRAL_CHAT_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
{%- set brackets = {'system': 'SYSTEM_PROMPT', 'user': 'INST'}[message.role] %}
{{- '[' + brackets + ']' }}
{%- for part in message.content %}{{- part.text }}{% endfor %}
{{- '[/' + brackets + ']' }}
{%- endfor %}"""
MISTRAL_SPECIAL_TOKENS = [
    *("<unk>", "<s>", "</s>", "<pad>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
    *("[IMG]", "[IMG_BREAK]", "[IMG_END]"),
]
# Splits words as Mistral's own expression does: upper case before lower case, no apostrophes, single digits.
MISTRAL_WORDS = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

SCHEDULER = {"shift": 3.0, "use_dynamic_shifting": True}  # as in the published checkpoints


@dataclass(frozen=True)
class CheckpointSpec:
    """What distinguishes one random checkpoint; what is not named is the class's default in diffusers/transformers."""

    is_distilled: bool | None
    """None for Dev, whose guidance is an input of the transformer."""
    max_sequence_length: int
    text_encoder: dict[str, Any]
    transformer: dict[str, Any]
    vae: dict[str, Any]
    seed: int
    max_shard_size: str = "16MB"
    stored_dtypes: dict[str, torch.dtype] = field(default_factory=dict)  # per folder; bfloat16 where not named
    legacy_text_config: bool = False  # `rope_theta` and `torch_dtype`, as transformers 4 wrote them


CHECKPOINTS = {
    # The published shape in miniature: Klein's ratios, 512 text tokens.
    "distilled": CheckpointSpec(
        is_distilled=True,
        max_sequence_length=512,
        text_encoder={
            "hidden_size": 64,
            "intermediate_size": 8,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 8,
        },
        transformer={
            "num_layers": 1,
            "num_single_layers": 2,
            "num_attention_heads": 2,
            "attention_head_dim": 32,
            "axes_dims_rope": (8, 8, 8, 8),
            "joint_attention_dim": 192,
        },
        vae={"block_out_channels": (4, 8, 12, 12), "layers_per_block": 2, "norm_num_groups": 4},
        seed=1,
    ),
    # Undistilled (two passes), sharded, a lighter decoder than the encoder, configs as transformers 4 wrote them.
    "base": CheckpointSpec(
        is_distilled=False,
        max_sequence_length=64,
        text_encoder={
            "hidden_size": 64,
            "intermediate_size": 8,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 4,
        },
        transformer={
            "num_layers": 2,
            "num_single_layers": 1,
            "num_attention_heads": 4,
            "attention_head_dim": 16,
            "axes_dims_rope": (4, 4, 4, 4),
            "joint_attention_dim": 192,
            "timestep_guidance_channels": 64,
            "mlp_ratio": 1.0,
        },
        vae={
            "block_out_channels": (8, 8, 16, 8),
            "decoder_block_out_channels": (8, 16, 8, 8),
            "layers_per_block": 1,
            "norm_num_groups": 8,
        },
        seed=2,
        max_shard_size="200KB",
        legacy_text_config=True,
    ),
    # Odd widths (not multiples of 64), unequal RoPE axes, other constants everywhere, an untied head, a float32 VAE.
    "odd": CheckpointSpec(
        is_distilled=True,
        max_sequence_length=48,
        text_encoder={
            "hidden_size": 32,
            "intermediate_size": 8,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
            "head_dim": 12,
            "rms_norm_eps": 1e-2,
            "rope_theta": 10_000.0,
            "tie_word_embeddings": False,
        },
        transformer={
            "in_channels": 64,
            "num_layers": 1,
            "num_single_layers": 1,
            "num_attention_heads": 3,
            "attention_head_dim": 16,
            "axes_dims_rope": (2, 6, 4, 4),
            "joint_attention_dim": 96,
            "timestep_guidance_channels": 128,
            "mlp_ratio": 1.5,
            "rope_theta": 500,
            "eps": 1e-2,
        },
        vae={
            "block_out_channels": (6, 9, 12, 9),
            "layers_per_block": 1,
            "norm_num_groups": 3,
            "latent_channels": 16,
            "batch_norm_eps": 0.1,
        },
        seed=3,
        stored_dtypes={"vae": torch.float32, "transformer": torch.float16},
    ),
    # Klein base 9B's ratios: an untied head, four queries to a key, two passes.
    "base-9b": CheckpointSpec(
        is_distilled=False,
        max_sequence_length=64,
        text_encoder={
            "hidden_size": 64,
            "intermediate_size": 8,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 4,
            "tie_word_embeddings": False,
        },
        transformer={
            "num_layers": 1,
            "num_single_layers": 1,
            "num_attention_heads": 4,
            "attention_head_dim": 16,
            "axes_dims_rope": (4, 4, 4, 4),
            "joint_attention_dim": 192,
            "timestep_guidance_channels": 64,
            "mlp_ratio": 1.0,
        },
        vae={"block_out_channels": (4, 4, 8, 8), "layers_per_block": 1, "norm_num_groups": 4},
        seed=4,
    ),
    # Dev in miniature: Mistral with its vision tower, guidance as an input.
    "dev": CheckpointSpec(
        is_distilled=None,
        max_sequence_length=512,
        text_encoder={
            "text_config": {
                "hidden_size": 64,
                "intermediate_size": 8,
                "num_attention_heads": 4,
                "num_key_value_heads": 1,
                "head_dim": 4,
                "rms_norm_eps": 1e-5,
                "rope_theta": 1e9,
            },
            "vision_config": {
                "hidden_size": 8,
                "intermediate_size": 8,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "head_dim": 4,
                "image_size": 32,
                "patch_size": 8,
            },
        },
        transformer={
            "num_layers": 1,
            "num_single_layers": 2,
            "num_attention_heads": 2,
            "attention_head_dim": 32,
            "axes_dims_rope": (8, 8, 8, 8),
            "joint_attention_dim": 192,
            "timestep_guidance_channels": 64,
            "mlp_ratio": 1.0,
            "guidance_embeds": True,
        },
        vae={"block_out_channels": (4, 4, 8, 8), "layers_per_block": 1, "norm_num_groups": 4},
        seed=5,
        max_shard_size="200KB",
    ),
}


def save_random_checkpoint(spec: CheckpointSpec, folder: Path) -> None:
    """Write one random checkpoint in the diffusers layout; the same `spec` always gives the same files."""
    torch.manual_seed(spec.seed)
    is_dev = spec.is_distilled is None
    parts: dict[str, nn.Module] = {
        "text_encoder": (random_mistral3 if is_dev else random_qwen3)(spec.text_encoder),
        "transformer": random_transformer(spec.transformer),
        "vae": random_vae(spec.vae),
    }
    for name, part in parts.items():
        part.to(spec.stored_dtypes.get(name, torch.bfloat16))
    scheduler = FlowMatchEulerDiscreteScheduler(**SCHEDULER)
    pipeline: DiffusionPipeline
    if is_dev:
        pipeline = Flux2Pipeline(scheduler=scheduler, tokenizer=tiny_mistral_tokenizer(), **parts)
    else:
        tokenizer = tiny_tokenizer(spec.max_sequence_length)
        pipeline = Flux2KleinPipeline(
            scheduler=scheduler, tokenizer=tokenizer, is_distilled=bool(spec.is_distilled), **parts
        )
    pipeline.save_pretrained(folder, max_shard_size=spec.max_shard_size)
    if is_dev:
        write_processor(folder)
    if spec.legacy_text_config:
        write_legacy_text_config(folder / "text_encoder" / "config.json")


def tiny_tokenizer(max_length: int) -> Qwen2Tokenizer:
    """Qwen2's byte-level BPE, trained on a few sentences: every byte has a token, so every prompt can be encoded."""
    tokenizer = Qwen2Tokenizer().train_new_from_iterator(
        TRAINING_SENTENCES * 8, vocab_size=VOCABULARY_SIZE, new_special_tokens=SPECIAL_TOKENS, show_progress=False
    )
    tokenizer.pad_token = "<|endoftext|>"
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.model_max_length = max_length
    assert len(tokenizer) <= VOCABULARY_SIZE
    return tokenizer


def tiny_mistral_tokenizer() -> PreTrainedTokenizerBase:
    """Byte-level BPE as Mistral's: left padding, a first token that its template writes and its post-processor adds."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(MISTRAL_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=MISTRAL_SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*TRAINING_SENTENCES * 8, SYSTEM_MESSAGE], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        padding_side="left",
        chat_template=MISTRAL_CHAT_TEMPLATE,
    )


def random_qwen3(config: dict[str, Any]) -> Qwen3ForCausalLM:
    config = dict(config)
    rope_theta = config.pop("rope_theta", 1_000_000.0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=VOCABULARY_SIZE,
            num_hidden_layers=QWEN3_LAYERS,
            max_position_embeddings=1024,
            rope_parameters={"rope_type": "default", "rope_theta": rope_theta},
            **{"tie_word_embeddings": True, "rms_norm_eps": 1e-6, **config},
        )
    )
    randomize_language_model(model)
    return model


def random_mistral3(config: dict[str, Any]) -> Mistral3ForConditionalGeneration:
    text = {
        "model_type": "mistral",
        "vocab_size": VOCABULARY_SIZE,
        "num_hidden_layers": MISTRAL_LAYERS,
        "max_position_embeddings": 1024,
        "sliding_window": None,
        "tie_word_embeddings": False,
        **config["text_config"],
    }
    vision = {"model_type": "pixtral", "hidden_act": "gelu", **config["vision_config"]}
    model = Mistral3ForConditionalGeneration(
        Mistral3Config(text_config=text, vision_config=vision, tie_word_embeddings=False)
    )
    randomize_language_model(model)
    return model


@torch.no_grad()
def randomize_language_model(model: PreTrainedModel) -> None:
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            randomize_norm_weight(name, parameter)
        elif "embed_tokens" in name:
            nn.init.normal_(parameter, std=0.5)
        else:  # what is added to the residual stream stays smaller than the stream
            gain = 0.4 if "o_proj" in name or "down_proj" in name else 1.0
            nn.init.normal_(parameter, std=gain / math.sqrt(parameter.shape[1]))


@torch.no_grad()
def random_transformer(config: dict[str, Any]) -> Flux2Transformer2DModel:
    model = Flux2Transformer2DModel(**{"in_channels": 128, "guidance_embeds": False, **config})
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            randomize_norm_weight(name, parameter)
        else:
            nn.init.normal_(parameter, std=1.0 / math.sqrt(parameter.shape[1]))
    return model


VAE_GAINS = {
    # The picture's contrast: few pixels of the decoded image saturate.
    "decoder.conv_out.weight": 0.4,
    # So small that the first norms' epsilon of 1e-6 can be told from 1e-5.
    "encoder.conv_in.weight": 0.02,
    "decoder.conv_in.weight": 0.02,
}


@torch.no_grad()
def random_vae(config: dict[str, Any]) -> AutoencoderKLFlux2:
    model = AutoencoderKLFlux2(**config)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            nn.init.normal_(parameter, mean=1.0 if name.endswith("weight") else 0.0, std=0.2)
        elif name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1 * VAE_GAINS.get(name.replace("bias", "weight"), 1.0))
        else:
            gain = VAE_GAINS.get(name, 1.0)
            nn.init.normal_(parameter, std=gain / math.sqrt(parameter[0].numel()))
    nn.init.normal_(model.bn.running_mean, std=0.5)
    model.bn.running_var.copy_(torch.exp(0.7 * torch.randn_like(model.bn.running_var)))
    return model.eval()


def randomize_norm_weight(name: str, weight: torch.Tensor) -> None:
    """RMSNorm weights around 1. Query and key norms are larger and vary more: attention is then sharp, and each rotary
    channel matters differently, so that a wrong position or axis order shows."""
    is_query_or_key = any(part in name for part in ("q_norm", "k_norm", "norm_q", "norm_k", "norm_added"))
    mean, std = (1.4, 0.4) if is_query_or_key else (1.0, 0.2)
    nn.init.normal_(weight, mean=mean, std=std)


def write_legacy_text_config(path: Path) -> None:
    """Spell the text encoder's config as transformers 4 did (the published Klein checkpoints are spelled so)."""
    config = json.loads(path.read_text())
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    config["rope_scaling"] = None
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def write_processor(folder: Path) -> None:
    """What else the published tokenizer folder holds: a processor of pictures and text, of which only the text's part,
    the tokenizer, is needed for text. (Its class wants torchvision, so that recording goes without it too.)"""
    tokenizer = folder / "tokenizer"
    configs = {
        "processor_config.json": {"image_token": "[IMG]", "patch_size": 14, "spatial_merge_size": 2},
        "preprocessor_config.json": {
            "image_processor_type": "PixtralImageProcessorFast",
            "size": {"longest_edge": 1540},
        },
    }
    for name, config in configs.items():
        config = {"processor_class": "PixtralProcessor", **config}
        (tokenizer / name).write_text(json.dumps(config, indent=2) + "\n")
    index = json.loads((folder / "model_index.json").read_text())
    index["tokenizer"] = ["transformers", "PixtralProcessor"]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
