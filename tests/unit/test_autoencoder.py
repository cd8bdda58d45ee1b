"""The banded decoder and encoder against plain ones: the same picture, no seams, in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from mlx.utils import tree_flatten, tree_map_with_path

from flux2.architecture import limits
from flux2.architecture.autoencoder import AutoencoderConfig
from flux2.backend.mlx import mx, nn
from flux2.models import bands, conv
from flux2.models.autoencoder import AutoencoderKLFlux2, ResnetBlock
from flux2.models.conv import Conv2d, GroupNorm
from tests.unit.checkpoints import resident

BAND_BYTES = 64 << 10
SMALL_DECODER = {"decoder_block_out_channels": [24, 32, 48, 48]}

Picture = npt.NDArray[np.float32]


def random_autoencoder(dtype: mx.Dtype = mx.float32, **changes: Any) -> AutoencoderKLFlux2:
    """Autoencoder of FLUX.2's architecture, a quarter as wide or less; its activations keep their size by layer."""
    config = {
        "_class_name": "AutoencoderKLFlux2",
        "act_fn": "silu",
        "block_out_channels": [32, 64, 96, 96],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
        "latent_channels": 32,
        "norm_num_groups": 8,
    }
    network = AutoencoderKLFlux2(AutoencoderConfig.from_dict({**config, **changes}))
    random = np.random.default_rng(0)

    def weight(name: str, old: mx.array) -> mx.array:
        if name.endswith("running_var"):
            return old
        values = random.normal(0, max(1, old.size / old.shape[0]) ** -0.5, old.shape)
        if old.ndim == 1:
            values = 0.1 * values + name.endswith("weight")
        return mx.array(values.astype(np.float32)).astype(dtype)

    network.update(tree_map_with_path(weight, network.parameters()))
    mx.eval(network.parameters())
    return network


def random_latents(height: int, width: int) -> mx.array:
    return mx.random.normal((1, height // 16, width // 16, 128), key=mx.random.key(3))


class Plain:
    """The networks as they are defined: every layer on the whole picture."""

    def decode(self, network: AutoencoderKLFlux2, latents: mx.array) -> mx.array:
        decoder = network.decoder
        x = self.conv(network.post_quant_conv, network.unpatchify(network.bn.denormalize(latents)))
        x = self.middle(decoder.mid_block, self.conv(decoder.conv_in, x))
        for block in decoder.up_blocks:
            for resnet in block.resnets:
                x = self.resnet(resnet, x)
            for upsampler in block.upsamplers:
                x = self.conv(upsampler.conv, mx.repeat(mx.repeat(x, 2, axis=1), 2, axis=2))
        return self.conv(decoder.conv_out, nn.silu(self.norm(decoder.conv_norm_out, x)))

    def encode(self, network: AutoencoderKLFlux2, picture: mx.array) -> mx.array:
        encoder = network.encoder
        x = self.conv(encoder.conv_in, picture)
        for block in encoder.down_blocks:
            for resnet in block.resnets:
                x = self.resnet(resnet, x)
            for downsampler in block.downsamplers:
                x = self.conv(downsampler.conv, x)
        x = self.middle(encoder.mid_block, x)
        x = self.conv(network.quant_conv, self.conv(encoder.conv_out, nn.silu(self.norm(encoder.conv_norm_out, x))))
        return network.bn.normalize(network.patchify(x[..., : x.shape[-1] // 2]))

    def middle(self, block: nn.Module, x: mx.array) -> mx.array:
        x = self.resnet(block.resnets[0], x)
        layer = block.attentions[0]
        tokens = self.norm(layer.group_norm, x).flatten(1, 2)
        q, k, v = layer.to_q(tokens), layer.to_k(tokens), layer.to_v(tokens)
        attended = mx.softmax(q @ k.swapaxes(1, 2) * q.shape[-1] ** -0.5, axis=-1) @ v
        return self.resnet(block.resnets[1], x + layer.to_out[0](attended).reshape(x.shape))

    def resnet(self, block: ResnetBlock, x: mx.array) -> mx.array:
        update = self.conv(block.conv1, nn.silu(self.norm(block.norm1, x)))
        update = self.conv(block.conv2, nn.silu(self.norm(block.norm2, update)))
        return (self.conv(block.conv_shortcut, x) if "conv_shortcut" in block else x) + update

    def conv(self, layer: Conv2d, x: mx.array) -> mx.array:
        padded = mx.pad(x, [(0, 0), layer._padding, layer._padding, (0, 0)])
        return mx.conv2d(padded, layer.weight.transpose(0, 2, 3, 1), layer._stride) + layer.bias

    def norm(self, layer: GroupNorm, x: mx.array) -> mx.array:
        grouped = x.reshape(x.shape[0], -1, layer._groups, x.shape[-1] // layer._groups)
        mean = grouped.mean(axis=(1, 3), keepdims=True)
        variance = mx.square(grouped - mean).mean(axis=(1, 3), keepdims=True)
        return ((grouped - mean) * mx.rsqrt(variance + layer._eps)).reshape(x.shape) * layer.weight + layer.bias


@pytest.fixture
def small_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many bands even of a small picture."""
    for device in ("cpu", "gpu"):
        monkeypatch.setitem(limits.BAND_BYTES, device, BAND_BYTES)
        monkeypatch.setitem(limits.SCORES_BYTES, device, BAND_BYTES)


def psnr(found: Picture, expected: Picture) -> float:
    """Signal-to-noise ratio of pictures from −1 to 1, dB."""
    return float(20 * np.log10(2 / np.sqrt(np.mean(np.square(found - expected, dtype=np.float64)))))


@pytest.mark.usefixtures("small_bands")
@pytest.mark.parametrize(
    ("width", "height", "changes"),
    [(128, 128, {}), (16, 16, {}), (128, 128, SMALL_DECODER), (272, 400, {**SMALL_DECODER, "layers_per_block": 1})],
)
def test_decodes_to_the_plain_picture_without_seams(width: int, height: int, changes: dict[str, Any]) -> None:
    network, latents = random_autoencoder(**changes), random_latents(height, width)
    plain = np.array(Plain().decode(network, latents))
    seams: set[int] = set()

    def note_seams(*parts: mx.array) -> None:
        mx.eval(*parts)
        tops = np.cumsum([part.shape[1] for part in parts])
        seams.update(top * height // tops[-1] for top in tops[:-1])

    banded = np.array(network.decode(latents, note_seams))
    assert banded.shape == (1, height, width, 3)
    assert psnr(banded, plain) > 100
    if seams:
        at_seams = [row for seam in seams for row in (seam - 1, seam)]
        assert psnr(banded[:, at_seams], plain[:, at_seams]) > 100
    assert len(seams) > 10 or height == 16


@pytest.mark.usefixtures("small_bands")
@pytest.mark.parametrize(("width", "height"), [(128, 128), (176, 112)])
def test_encodes_to_the_plain_latents(width: int, height: int) -> None:
    network = random_autoencoder()
    picture = mx.random.uniform(-1, 1, (1, height, width, 3), key=mx.random.key(1))
    assert mx.allclose(network.encode(picture), Plain().encode(network, picture), rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("small_bands")
@pytest.mark.parametrize(("dtype", "least"), [(mx.float32, 100), (mx.float16, 40)])
def test_the_gpus_way_is_the_same_picture(monkeypatch: pytest.MonkeyPatch, dtype: mx.Dtype, least: float) -> None:
    network, latents = random_autoencoder(), random_latents(128, 128)
    plain = np.array(Plain().decode(network, latents))
    network.update(tree_map_with_path(lambda _, weight: weight.astype(dtype), network.parameters()))
    monkeypatch.setattr(conv, "on_cpu", lambda: False)
    monkeypatch.setattr(bands, "device_type", lambda: "gpu")
    assert psnr(np.array(network.decode(latents).astype(mx.float32)), plain) > least


@pytest.mark.usefixtures("small_bands")
def test_memory_is_the_largest_activation_and_some_bands() -> None:
    side = 384
    network, latents = random_autoencoder(mx.float32), random_latents(side, side)
    network.pop("encoder")
    mx.eval(latents)
    others = resident()
    weights = sum(weight.nbytes for _, weight in tree_flatten(network.parameters()))
    largest = side * side * 64 * 4  # after the last upsampling, still with the channels of the level before
    mx.reset_peak_memory()
    mx.eval(network.decode(latents))
    above = mx.get_peak_memory() - others
    assert largest < above < 1.15 * largest + weights


def test_weights_go_when_they_were_used() -> None:
    network, latents = random_autoencoder(), random_latents(32, 32)
    network.pop("encoder")
    kept = network.decode(latents)
    before = mx.get_active_memory()
    assert mx.array_equal(network.decode(latents, keep_weights=False), kept)
    weights_of_stages = before - mx.get_active_memory()
    assert weights_of_stages > 5 << 20
