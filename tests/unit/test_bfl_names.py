"""BFL's names: every tensor of the published models has one place, and none is had by two."""

import pytest

from flux2.architecture.autoencoder import AutoencoderConfig, autoencoder_shapes
from flux2.architecture.bfl_names import BflPlace, bfl_autoencoder_name, bfl_transformer_place
from flux2.architecture.published import ARCHITECTURES
from flux2.architecture.transformer import Flux2TransformerConfig, transformer_shapes


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("x_embedder.weight", BflPlace("img_in.weight")),
        ("context_embedder", BflPlace("txt_in")),
        ("time_guidance_embed.guidance_embedder.linear_2.weight", BflPlace("guidance_in.out_layer.weight")),
        ("single_stream_modulation.linear", BflPlace("single_stream_modulation.lin")),
        ("norm_out.linear.weight", BflPlace("final_layer.adaLN_modulation.1.weight", halves_swapped=True)),
        ("transformer_blocks.7.attn.add_v_proj.weight", BflPlace("double_blocks.7.txt_attn.qkv.weight", third=2)),
        ("transformer_blocks.12.attn.to_out.0", BflPlace("double_blocks.12.img_attn.proj")),
        ("transformer_blocks.0.ff_context.linear_out.weight", BflPlace("double_blocks.0.txt_mlp.2.weight")),
        ("transformer_blocks.0.attn.norm_added_k.weight", BflPlace("double_blocks.0.txt_attn.norm.key_norm.scale")),
        ("single_transformer_blocks.23.attn.to_out.weight", BflPlace("single_blocks.23.linear2.weight")),
        ("single_transformer_blocks.3.attn.norm_q.weight", BflPlace("single_blocks.3.norm.query_norm.scale")),
    ],
)
def test_places_in_the_transformer(ours: str, theirs: BflPlace) -> None:
    assert bfl_transformer_place(ours) == theirs


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_each_tensor_of_the_transformer_has_a_place_of_its_own(model: str) -> None:
    shapes = transformer_shapes(Flux2TransformerConfig.from_dict(ARCHITECTURES[model].transformer))
    places = [bfl_transformer_place(name) for name in shapes]
    assert len(set(places)) == len(shapes)
    assert not {place.name for place in places} & shapes.keys()  # the layouts can be told apart


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("bn.running_var", "bn.running_var"),
        ("quant_conv.bias", "encoder.quant_conv.bias"),
        ("post_quant_conv.weight", "decoder.post_quant_conv.weight"),
        ("encoder.conv_norm_out.weight", "encoder.norm_out.weight"),
        ("encoder.down_blocks.1.resnets.0.conv_shortcut.weight", "encoder.down.1.block.0.nin_shortcut.weight"),
        ("encoder.down_blocks.2.downsamplers.0.conv.bias", "encoder.down.2.downsample.conv.bias"),
        ("decoder.up_blocks.0.resnets.2.norm2.weight", "decoder.up.3.block.2.norm2.weight"),
        ("decoder.up_blocks.2.upsamplers.0.conv.weight", "decoder.up.1.upsample.conv.weight"),
        ("decoder.mid_block.resnets.1.conv2.weight", "decoder.mid.block_2.conv2.weight"),
        ("encoder.mid_block.attentions.0.group_norm.bias", "encoder.mid.attn_1.norm.bias"),
        ("encoder.mid_block.attentions.0.to_out.0.weight", "encoder.mid.attn_1.proj_out.weight"),
    ],
)
def test_names_in_the_autoencoder(ours: str, theirs: str) -> None:
    assert bfl_autoencoder_name(ours, levels=4) == theirs


def test_each_tensor_of_the_autoencoder_has_a_name_of_its_own() -> None:
    shapes = autoencoder_shapes(AutoencoderConfig.from_dict({"_class_name": "AutoencoderKLFlux2"}))
    assert len({bfl_autoencoder_name(name, levels=4) for name in shapes}) == len(shapes)


@pytest.mark.parametrize(
    "name", ["", "img_in.weight", "transformer_blocks.0.attn", "transformer_blocks", "x_embedder.lin"]
)
def test_what_the_transformer_has_not(name: str) -> None:
    with pytest.raises(KeyError):
        bfl_transformer_place(name)
