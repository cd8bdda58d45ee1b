"""Names and shapes of every tensor of a checkpoint, from its config files alone: no weights, no MLX.

The names are those under which diffusers and transformers save the networks. Parts that the engine never reads (the
language models' last layers and heads, the vision tower) are listed too: they are in the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Config = Mapping[str, Any]
Shapes = dict[str, tuple[int, ...]]
"""PyTorch's order: a Linear is [outputs, inputs], a convolution [outputs, inputs, height, width]."""


def multiplied_parts(name: str, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The parts of a transformer's weight that are multiplied with one after the other: nearly always all of it.

    A single block uses the rows that make q, k and v first, and those of its feed-forward then.
    """
    if not name.endswith("to_qkv_mlp_proj.weight"):
        return [shape]
    outputs, inputs = shape
    return [(3 * inputs, inputs), (outputs - 3 * inputs, inputs)]


def transformer_shapes(config: Config) -> Shapes:
    """Of `Flux2Transformer2DModel`, from transformer/config.json."""
    head_dim = config["attention_head_dim"]
    width = config["num_attention_heads"] * head_dim
    mlp = int(width * config["mlp_ratio"])
    time = config["timestep_guidance_channels"]
    channels = config["in_channels"]
    shapes: Shapes = {
        "x_embedder.weight": (width, channels),
        "context_embedder.weight": (width, config["joint_attention_dim"]),
        "double_stream_modulation_img.linear.weight": (6 * width, width),
        "double_stream_modulation_txt.linear.weight": (6 * width, width),
        "single_stream_modulation.linear.weight": (3 * width, width),
        "norm_out.linear.weight": (2 * width, width),
        "proj_out.weight": (config.get("out_channels") or channels, width),
    }
    for embedder in ("timestep_embedder", "guidance_embedder")[: 1 + bool(config["guidance_embeds"])]:
        shapes[f"time_guidance_embed.{embedder}.linear_1.weight"] = (width, time)
        shapes[f"time_guidance_embed.{embedder}.linear_2.weight"] = (width, width)

    double_block: Shapes = {
        f"attn.{name}.weight": (width, width)
        for name in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
    }
    for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
        double_block[f"attn.{name}.weight"] = (head_dim,)
    for name in ("ff", "ff_context"):
        double_block[f"{name}.linear_in.weight"] = (2 * mlp, width)
        double_block[f"{name}.linear_out.weight"] = (width, mlp)
    single_block: Shapes = {
        "attn.to_qkv_mlp_proj.weight": (3 * width + 2 * mlp, width),
        "attn.to_out.weight": (width, width + mlp),
        "attn.norm_q.weight": (head_dim,),
        "attn.norm_k.weight": (head_dim,),
    }
    shapes |= _repeated("transformer_blocks", config["num_layers"], double_block)
    return shapes | _repeated("single_transformer_blocks", config["num_single_layers"], single_block)


def text_encoder_shapes(config: Config) -> Shapes:
    """Of `Qwen3ForCausalLM` or `Mistral3ForConditionalGeneration`, from text_encoder/config.json."""
    if config["model_type"] == "qwen3":
        return _language_model(config, "", normalised_queries=True)
    return _language_model(config["text_config"], "language_model.", normalised_queries=False) | _vision_tower(config)


def language_model_layer(config: Config, *, normalised_queries: bool) -> Shapes:
    """One decoder layer of Qwen3 (whose queries and keys are normalised) or Mistral."""
    hidden, feed_forward, head_dim = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head_dim, config["num_key_value_heads"] * head_dim
    shapes: Shapes = {
        "self_attn.q_proj.weight": (queries, hidden),
        "self_attn.k_proj.weight": (keys, hidden),
        "self_attn.v_proj.weight": (keys, hidden),
        "self_attn.o_proj.weight": (hidden, queries),
        "mlp.gate_proj.weight": (feed_forward, hidden),
        "mlp.up_proj.weight": (feed_forward, hidden),
        "mlp.down_proj.weight": (hidden, feed_forward),
        "input_layernorm.weight": (hidden,),
        "post_attention_layernorm.weight": (hidden,),
    }
    if normalised_queries:
        shapes |= {"self_attn.q_norm.weight": (head_dim,), "self_attn.k_norm.weight": (head_dim,)}
    return shapes


def vae_shapes(config: Config) -> Shapes:
    """Of `AutoencoderKLFlux2`, from vae/config.json; with the BatchNorm's statistics."""
    latent, widths = config["latent_channels"], config["block_out_channels"]
    decoder_widths = config.get("decoder_block_out_channels") or widths
    patched = latent * config["patch_size"][0] * config["patch_size"][1]
    shapes = _convolution("quant_conv", 2 * latent, 2 * latent, 1) if config["use_quant_conv"] else {}
    if config["use_post_quant_conv"]:
        shapes |= _convolution("post_quant_conv", latent, latent, 1)
    shapes |= {"bn.running_mean": (patched,), "bn.running_var": (patched,), "bn.num_batches_tracked": ()}
    shapes |= _vae_encoder(config, widths)
    return shapes | _vae_decoder(config, decoder_widths)


def _repeated(prefix: str, count: int, block: Shapes) -> Shapes:
    return {f"{prefix}.{index}.{name}": shape for index in range(count) for name, shape in block.items()}


def _language_model(config: Config, prefix: str, *, normalised_queries: bool) -> Shapes:
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    layer = language_model_layer(config, normalised_queries=normalised_queries)
    shapes: Shapes = {
        f"{prefix}model.embed_tokens.weight": (vocabulary, hidden),
        f"{prefix}model.norm.weight": (hidden,),
    }
    if not config["tie_word_embeddings"]:
        shapes[f"{prefix}lm_head.weight"] = (vocabulary, hidden)
    return shapes | _repeated(f"{prefix}model.layers", config["num_hidden_layers"], layer)


def _vision_tower(config: Config) -> Shapes:
    """Mistral's eyes and their connection to the language model; in the files, but never used for a text prompt."""
    vision, text_width = config["vision_config"], config["text_config"]["hidden_size"]
    width, feed_forward = vision["hidden_size"], vision["intermediate_size"]
    attention = vision["num_attention_heads"] * vision["head_dim"]
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
        "vision_tower.patch_conv.weight": (width, vision["num_channels"], vision["patch_size"], vision["patch_size"]),
        "vision_tower.ln_pre.weight": (width,),
        "multi_modal_projector.norm.weight": (width,),
        "multi_modal_projector.patch_merger.merging_layer.weight": (width, width * config["spatial_merge_size"] ** 2),
        "multi_modal_projector.linear_1.weight": (text_width, width),
        "multi_modal_projector.linear_2.weight": (text_width, text_width),
    }
    return shapes | _repeated("vision_tower.transformer.layers", vision["num_hidden_layers"], layer)


def _vae_encoder(config: Config, widths: list[int]) -> Shapes:
    shapes = _convolution("encoder.conv_in", widths[0], config["in_channels"], 3)
    inputs = widths[0]
    for index, width in enumerate(widths):
        block = f"encoder.down_blocks.{index}"
        shapes |= _residual_blocks(block, config["layers_per_block"], inputs, width)
        if index < len(widths) - 1:
            shapes |= _convolution(f"{block}.downsamplers.0.conv", width, width, 3)
        inputs = width
    shapes |= _vae_middle("encoder.mid_block", inputs) | _norm("encoder.conv_norm_out", inputs)
    return shapes | _convolution("encoder.conv_out", 2 * config["latent_channels"], inputs, 3)


def _vae_decoder(config: Config, widths: list[int]) -> Shapes:
    inputs = widths[-1]
    shapes = _convolution("decoder.conv_in", inputs, config["latent_channels"], 3)
    shapes |= _vae_middle("decoder.mid_block", inputs)
    for index, width in enumerate(reversed(widths)):
        block = f"decoder.up_blocks.{index}"
        shapes |= _residual_blocks(block, config["layers_per_block"] + 1, inputs, width)
        if index < len(widths) - 1:
            shapes |= _convolution(f"{block}.upsamplers.0.conv", width, width, 3)
        inputs = width
    return (
        shapes
        | _norm("decoder.conv_norm_out", inputs)
        | _convolution("decoder.conv_out", config["out_channels"], inputs, 3)
    )


def _vae_middle(name: str, width: int) -> Shapes:
    shapes = _residual_blocks(name, 2, width, width) | _norm(f"{name}.attentions.0.group_norm", width)
    for projection in ("to_q", "to_k", "to_v", "to_out.0"):
        shapes |= _with_bias(f"{name}.attentions.0.{projection}", (width, width))
    return shapes


def _residual_blocks(name: str, count: int, inputs: int, width: int) -> Shapes:
    shapes: Shapes = {}
    for index in range(count):
        block = f"{name}.resnets.{index}"
        shapes |= _norm(f"{block}.norm1", inputs) | _convolution(f"{block}.conv1", width, inputs, 3)
        shapes |= _norm(f"{block}.norm2", width) | _convolution(f"{block}.conv2", width, width, 3)
        if inputs != width:
            shapes |= _convolution(f"{block}.conv_shortcut", width, inputs, 1)
        inputs = width
    return shapes


def _convolution(name: str, outputs: int, inputs: int, kernel: int) -> Shapes:
    return _with_bias(name, (outputs, inputs, kernel, kernel))


def _norm(name: str, width: int) -> Shapes:
    return _with_bias(name, (width,))


def _with_bias(name: str, weight: tuple[int, ...]) -> Shapes:
    return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}
