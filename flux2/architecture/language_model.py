"""The language model of a text encoder as its config describes it: constants and tensors, under transformers' names."""

from __future__ import annotations

from dataclasses import dataclass

from flux2.architecture.config_reader import MAX_LAYERS, ConfigReader
from flux2.architecture.shapes import Shapes, repeated


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageModelConfig:
    """The constants of text_encoder/config.json, under transformers' names, and two that its architecture implies."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float
    rope_theta: float
    tie_word_embeddings: bool
    """Whether the head is the embedding table, so that the files hold no other."""
    hidden_states_layers: tuple[int, ...]
    """Layers whose hidden states FLUX.2 takes; 0 would be the embeddings (diffusers' `text_encoder_out_layers`)."""
    normalised_queries: bool
    """Whether queries and keys pass a norm before they are rotated."""

    @property
    def used_layers(self) -> int:
        """The last layer that is computed."""
        return self.hidden_states_layers[-1]

    @property
    def queries(self) -> int:
        """Features of all heads' queries."""
        return self.num_attention_heads * self.head_dim

    @property
    def keys(self) -> int:
        """Features of all heads' keys."""
        return self.num_key_value_heads * self.head_dim

    @property
    def prompt_features(self) -> int:
        """Features of each token of a prompt's embeddings: the hidden states side by side."""
        return len(self.hidden_states_layers) * self.hidden_size


def read_language_model(
    read: ConfigReader,
    *,
    hidden_states_layers: tuple[int, ...],
    normalised_queries: bool,
    key_value_heads: int,
    head_dim: int | None,
) -> LanguageModelConfig:
    """Read what all language models' configs share, as transformers 4 (`rope_theta`) or 5 (`rope_parameters`) wrote it.

    Args:
        key_value_heads: transformers' default for a config that does not name them; null means as many as heads.
        head_dim: its default; None for the hidden size shared among the heads.

    Raises:
        CheckpointError: naming file, key and value of what is missing, makes no sense or is not supported.
    """
    read.support_only("hidden_act", "silu")
    rope = read
    if read.has("rope_parameters"):
        rope = read.section("rope_parameters")
        rope.support_only("rope_type", "default")
    elif read.has("rope_scaling"):
        raise read.refuse("rope_scaling", "only unscaled RoPE is supported")
    heads, hidden = read.integer("num_attention_heads"), read.integer("hidden_size")
    config = LanguageModelConfig(
        vocab_size=read.integer("vocab_size"),
        hidden_size=hidden,
        intermediate_size=read.integer("intermediate_size"),
        num_hidden_layers=read.integer("num_hidden_layers", maximum=MAX_LAYERS),
        num_attention_heads=heads,
        num_key_value_heads=heads
        if read.is_null("num_key_value_heads")
        else read.integer("num_key_value_heads", key_value_heads),
        head_dim=read.integer("head_dim", multiple_of=2) if read.has("head_dim") else head_dim or hidden // heads,
        rms_norm_eps=read.number("rms_norm_eps", 1e-6),
        rope_theta=rope.number("rope_theta"),
        tie_word_embeddings=read.flag("tie_word_embeddings", False),
        hidden_states_layers=hidden_states_layers,
        normalised_queries=normalised_queries,
    )
    if config.num_attention_heads % config.num_key_value_heads:
        raise read.refuse("num_key_value_heads", f"must divide num_attention_heads, {heads}")
    if config.head_dim % 2:
        raise read.refuse("head_dim", "must be even")
    if config.num_hidden_layers <= config.used_layers:
        # The last layer's hidden state would be the final-normed one.
        raise read.refuse("num_hidden_layers", f"must be more than {config.used_layers}")
    return config


def language_model_shapes(config: LanguageModelConfig) -> Shapes:
    """Names and shapes of all its tensors, its head's and its unused layers' among them."""
    table = (config.vocab_size, config.hidden_size)
    shapes: Shapes = {"model.embed_tokens.weight": table, "model.norm.weight": (config.hidden_size,)}
    if not config.tie_word_embeddings:
        shapes["lm_head.weight"] = table
    return shapes | repeated("model.layers", config.num_hidden_layers, layer_shapes(config))


def used_shapes(config: LanguageModelConfig) -> Shapes:
    """Names and shapes of the tensors that are read: the embeddings, and the layers up to the last that is computed."""
    table = (config.vocab_size, config.hidden_size)
    layers = repeated("model.layers", config.used_layers, layer_shapes(config))
    return {"model.embed_tokens.weight": table, **layers}


def layer_shapes(config: LanguageModelConfig) -> Shapes:
    """Names and shapes of one decoder layer's tensors."""
    hidden, feed_forward = config.hidden_size, config.intermediate_size
    shapes: Shapes = {
        "self_attn.q_proj.weight": (config.queries, hidden),
        "self_attn.k_proj.weight": (config.keys, hidden),
        "self_attn.v_proj.weight": (config.keys, hidden),
        "self_attn.o_proj.weight": (hidden, config.queries),
        "mlp.gate_proj.weight": (feed_forward, hidden),
        "mlp.up_proj.weight": (feed_forward, hidden),
        "mlp.down_proj.weight": (hidden, feed_forward),
        "input_layernorm.weight": (hidden,),
        "post_attention_layernorm.weight": (hidden,),
    }
    if config.normalised_queries:
        shapes |= {f"self_attn.{norm}.weight": (config.head_dim,) for norm in ("q_norm", "k_norm")}
    return shapes
