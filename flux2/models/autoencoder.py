"""FLUX.2's autoencoder: pictures ↔ latents, with the BatchNorm statistics that latents are normalised by.

Parameter names and shapes are those of diffusers' `AutoencoderKLFlux2`, so that loading is a lookup. Pictures and
latents are [batch, height, width, channels]; the transformer's packed tokens are the same array with height and width
in one axis. Encoder and decoder run stage by stage, and each stage band by band (`flux2.models.bands`): its result
takes the place of its input. What has to be there at once is the largest activation, and some bands.
"""

# mlx.nn brings no types:
# mypy: allow-subclassing-any, no-warn-return-any

from __future__ import annotations

from collections.abc import Callable, Iterator

from flux2.architecture.autoencoder import AutoencoderConfig
from flux2.backend.mlx import mx, nn
from flux2.models.attention import attend
from flux2.models.bands import Bands
from flux2.models.conv import Conv2d, GroupNorm, Upsample
from flux2.models.evaluation import AfterBlock

Stage = Callable[[Bands], Bands]
"""Uses its input up."""


class AutoencoderKLFlux2(nn.Module):
    """`decode` the transformer's latents to a picture, or `encode` a picture to such latents."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        latent = config.latent_channels
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        if config.use_quant_conv:
            self.quant_conv = Conv2d(2 * latent, 2 * latent, 1, padding=(0, 0))
        if config.use_post_quant_conv:
            self.post_quant_conv = Conv2d(latent, latent, 1, padding=(0, 0))
        self.bn = BatchNormStatistics(config.patch_channels, config.batch_norm_eps)

    def decode(self, latents: mx.array, after_block: AfterBlock = mx.eval, *, keep_weights: bool = True) -> mx.array:
        """The picture [batch, H, W, 3], about −1 to 1, of normalised patches [batch, H/16, W/16, patch_channels].

        Args:
            after_block: called with the bands that each of `decode_stages` made, and has to evaluate them.
            keep_weights: or let go of each stage's after its use, when the next activations need the room; nothing can
                be decoded afterwards.
        """
        x = self.unpatchify(self.bn.denormalize(latents)).astype(self.decoder.conv_in.weight.dtype)
        return _run(self.decode_stages(), x, after_block, keep_weights)

    def encode(self, picture: mx.array, after_block: AfterBlock = mx.eval) -> mx.array:
        """Normalised patches [batch, H/16, W/16, patch_channels] of a picture [batch, H, W, 3], −1 to 1.

        They are the mean of the distribution that the encoder gives, as the pipelines take it for reference images.
        """
        x = picture.astype(self.encoder.conv_in.weight.dtype)
        mean, _ = mx.split(_run(self.encode_stages(), x, after_block, keep_weights=True), 2, axis=-1)
        return self.bn.normalize(self.patchify(mean.astype(mx.float32)))

    def decode_stages(self) -> list[Stage]:
        """What `decode` runs, one after the other."""
        first = [self.post_quant_conv] if "post_quant_conv" in self else []
        return [*first, *self.decoder.stages()]

    def encode_stages(self) -> list[Stage]:
        """What `encode` runs, one after the other."""
        last = [self.quant_conv] if "quant_conv" in self else []
        return [*self.encoder.stages(), *last]

    def patchify(self, latents: mx.array) -> mx.array:
        """Neighbouring latents side by side, their channels in the order (channel, row, column)."""
        batch, height, width, channels = latents.shape
        rows, columns = self.config.patch_size
        patches = latents.reshape(batch, height // rows, rows, width // columns, columns, channels)
        return patches.transpose(0, 1, 3, 5, 2, 4).reshape(batch, height // rows, width // columns, -1)

    def unpatchify(self, patches: mx.array) -> mx.array:
        """Undo `patchify`."""
        batch, height, width, _ = patches.shape
        rows, columns = self.config.patch_size
        latents = patches.reshape(batch, height, width, -1, rows, columns).transpose(0, 1, 4, 2, 5, 3)
        return latents.reshape(batch, height * rows, width * columns, -1)


class BatchNormStatistics(nn.Module):
    """The running mean and variance of each channel of the patches, by which latents are normalised."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self._eps = eps
        self.running_mean = mx.zeros((channels,))
        self.running_var = mx.ones((channels,))

    def normalize(self, patches: mx.array) -> mx.array:
        mean, deviation = self._float32()
        return (patches - mean) / deviation

    def denormalize(self, patches: mx.array) -> mx.array:
        mean, deviation = self._float32()
        return patches * deviation + mean

    def _float32(self) -> tuple[mx.array, mx.array]:
        return self.running_mean.astype(mx.float32), mx.sqrt(self.running_var.astype(mx.float32) + self._eps)


class Encoder(nn.Module):
    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths, groups = config.block_out_channels, config.norm_num_groups
        self.conv_in = Conv2d(config.in_channels, widths[0])
        self.down_blocks = [
            DownBlock(before, width, config.layers_per_block, groups, downsample=level < len(widths) - 1)
            for level, (before, width) in enumerate(zip((widths[0], *widths), widths, strict=False))
        ]
        self.mid_block = MidBlock(widths[-1], groups, config.mid_block_add_attention)
        self.conv_norm_out = GroupNorm(groups, widths[-1])
        self.conv_out = Conv2d(widths[-1], 2 * config.latent_channels)

    def stages(self) -> Iterator[Stage]:
        yield self.conv_in
        for block in self.down_blocks:
            yield from block.stages()
        yield from self.mid_block.stages()
        yield lambda x: self.conv_out(x, self.conv_norm_out.silu_over(x))


class Decoder(nn.Module):
    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths, groups = config.decoder_block_out_channels[::-1], config.norm_num_groups
        self.conv_in = Conv2d(config.latent_channels, widths[0])
        self.mid_block = MidBlock(widths[0], groups, config.mid_block_add_attention)
        self.up_blocks = [
            UpBlock(before, width, config.layers_per_block + 1, groups, upsample=level < len(widths) - 1)
            for level, (before, width) in enumerate(zip((widths[0], *widths), widths, strict=False))
        ]
        self.conv_norm_out = GroupNorm(groups, widths[-1])
        self.conv_out = Conv2d(widths[-1], config.out_channels)

    def stages(self) -> Iterator[Stage]:
        yield self.conv_in
        yield from self.mid_block.stages()
        for block in self.up_blocks:
            yield from block.stages()
        yield lambda x: self.conv_out(x, self.conv_norm_out.silu_over(x))


class MidBlock(nn.Module):
    def __init__(self, channels: int, groups: int, add_attention: bool) -> None:
        super().__init__()
        self.resnets = [ResnetBlock(channels, channels, groups) for _ in range(2)]
        self.attentions = [SpatialAttention(channels, groups)] if add_attention else []

    def stages(self) -> list[Stage]:
        first, last = self.resnets
        return [first, *self.attentions, last]


class DownBlock(nn.Module):
    def __init__(self, before: int, channels: int, layers: int, groups: int, *, downsample: bool) -> None:
        super().__init__()
        self.resnets = _resnets(before, channels, layers, groups)
        self.downsamplers = [Downsample(channels)] if downsample else []

    def stages(self) -> list[Stage]:
        return [*self.resnets, *self.downsamplers]


class UpBlock(nn.Module):
    def __init__(self, before: int, channels: int, layers: int, groups: int, *, upsample: bool) -> None:
        super().__init__()
        self.resnets = _resnets(before, channels, layers, groups)
        self.upsamplers = [Upsample(channels)] if upsample else []

    def stages(self) -> list[Stage]:
        return [*self.resnets, *self.upsamplers]


class ResnetBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, groups: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm(groups, in_channels)
        self.conv1 = Conv2d(in_channels, out_channels)
        self.norm2 = GroupNorm(groups, out_channels)
        self.conv2 = Conv2d(out_channels, out_channels)
        if in_channels != out_channels:
            self.conv_shortcut = Conv2d(in_channels, out_channels, 1, padding=(0, 0))

    def __call__(self, x: Bands) -> Bands:
        update = Bands()
        convolved = self.conv1.over(x, self.norm1.silu_over(x))
        shortened = self.conv_shortcut.over(x) if "conv_shortcut" in self else None
        shortcut = Bands() if shortened else x
        for first, last in x.split(max(x.channels, len(self.conv1.bias))):
            update.append(convolved(first, last))
            if shortened:
                shortcut.append(shortened(first, last))
                x.release(last - 1)

        out = Bands()
        convolved = self.conv2.over(update, self.norm2.silu_over(update))
        for first, last in update.split(update.channels):
            out.append(shortcut.rows(first, last) + convolved(first, last))
            shortcut.release(last)
            update.release(last - 1)
        return out


class Downsample(nn.Module):
    """Halve both sides; the padding is on the right and at the bottom alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, stride=2, padding=(0, 1))

    def __call__(self, x: Bands) -> Bands:
        return self.conv(x)


class SpatialAttention(nn.Module):
    """Every pixel attends to every other, with one head as wide as the block."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.group_norm = GroupNorm(groups, channels)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = [nn.Linear(channels, channels)]

    def __call__(self, x: Bands) -> Bands:
        normalise, picture = self.group_norm.over(x), x.whole()
        tokens = normalise(picture).flatten(1, 2)[:, :, None]  # one head
        attended = attend(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens))
        return Bands([picture + self.to_out[0](attended).reshape(picture.shape)])


def _resnets(before: int, channels: int, layers: int, groups: int) -> list[ResnetBlock]:
    return [ResnetBlock(channels if layer else before, channels, groups) for layer in range(layers)]


def _run(stages: list[Stage], picture: mx.array, after_block: AfterBlock, keep_weights: bool) -> mx.array:
    x = Bands([picture])
    del picture
    for stage in stages:
        x = stage(x)
        after_block(*x)
        if not keep_weights and isinstance(stage, nn.Module):
            stage.clear()
    return x.whole()
