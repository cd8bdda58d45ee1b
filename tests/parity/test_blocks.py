"""The networks' insides against the reference's: where `test_parity.py` fails, this says in which part."""

from __future__ import annotations

import networks
import numpy as np
import pytest
from compare import RELATIVE_LIMIT, relative_error
from recordings import ALL_RUNS, BLOCK_TOKEN_STRIDE, RUNS_WITH_BLOCKS, recording

from flux2.backend.mlx import mx
from flux2.checkpoint.layout import open_checkpoint
from flux2.denoise.schedule import SchedulerConfig
from flux2.denoise.steps import DenoisingPlan, condition, denoise
from flux2.models.bands import Bands
from flux2.models.rope import axial_rotation, image_positions, text_positions

with_blocks = pytest.mark.parametrize("name", RUNS_WITH_BLOCKS)


def assert_close(ours: mx.array, reference: np.ndarray) -> None:
    assert relative_error(ours.astype(mx.float32), reference) <= RELATIVE_LIMIT


@pytest.mark.parametrize("name", ALL_RUNS)
def test_text_encoder(name: str) -> None:
    run = recording(name)
    for prefix in ("", "negative_"):
        if f"{prefix}input_ids" in run.tensors:
            embeddings = networks.prompt_embeddings(run, prefix)[:, mx.array(run[f"{prefix}prompt_rows"])]
            assert_close(embeddings, run[f"{prefix}prompt_embeds"])


@with_blocks
def test_rotations(name: str) -> None:
    run = recording(name)
    config = networks.transformer(run).config
    positions = np.concatenate([text_positions(run["input_ids"].shape[1]), image_positions(*run["noise"].shape[2:])])
    rotation = axial_rotation(positions, config.axes_dims_rope, config.rope_theta)
    for ours, reference in ((rotation.cos, "rope_cos"), (rotation.sin, "rope_sin")):
        assert_close(mx.repeat(ours, 2, axis=-1), run.block(reference))  # diffusers keeps every angle twice


@with_blocks
def test_time_embedding_and_modulations(name: str) -> None:
    run = recording(name)
    network = networks.transformer(run)
    sigma, guidance = [float(run["sigmas"][0])], run.arguments["guidance_scale"]
    assert_close(network.time_guidance_embed(sigma, guidance, mx.float32), run.block("time_embedding"))
    (modulation,) = network.modulate(sigma, guidance, mx.float32)
    for part in ("image", "text", "single"):
        assert_close(getattr(modulation, part)[0], run.block(f"modulation_{part}"))


@with_blocks
def test_transformer_blocks(name: str) -> None:
    run = recording(name)
    network = networks.transformer(run)
    after: list[tuple[mx.array, ...]] = []
    (velocity,) = network(
        networks.packed(run["noise"]),
        networks.conditioning(run),
        step=0,
        after_block=lambda *states: after.append(states),
    )
    image, text = after[0]
    (joint,) = after[network.config.num_layers]
    assert_close(image, run.block("double_block_image"))
    assert_close(text[:, ::BLOCK_TOKEN_STRIDE], run.block("double_block_text"))
    assert_close(joint[:, ::BLOCK_TOKEN_STRIDE], run.block("single_block"))
    assert_close(velocity, run.block("velocity"))


@with_blocks
def test_clean_estimates(name: str) -> None:
    """What previews show, x0 = x − σ·v: the reference's velocity follows from its latents before and after a step."""
    run = recording(name)
    plan = DenoisingPlan(
        height=run.arguments["height"],
        width=run.arguments["width"],
        steps=run.arguments["num_inference_steps"],
        guidance=run.arguments["guidance_scale"],
        scheduler=SchedulerConfig.from_dict(open_checkpoint(run.checkpoint).scheduler.config),
        embeddings=networks.prompt_embeddings(run),
    )
    before, sigmas = np.array(networks.packed(run["noise"])), run["sigmas"]
    network = networks.transformer(run)
    for step in denoise(network, mx.array(before), plan, condition(network, plan)):
        sigma, sigma_next = sigmas[step.number - 1 : step.number + 1]
        after = run["latents"][step.number - 1]
        velocity = (after - before) / (sigma_next - sigma)
        assert_close(step.estimate, before - sigma * velocity)
        before = after


@with_blocks
def test_decoder(name: str) -> None:
    run = recording(name)
    network = networks.decoder(run)
    stages: list[Bands] = []
    height, width = run["noise"].shape[2:]
    latents = mx.array(run["latents"][-1]).reshape(1, height, width, -1)
    decoded = network.decode(latents, after_block=lambda *bands: stages.append(Bands(bands)))
    up_stages = sum(len(block.stages()) for block in network.decoder.up_blocks)
    mid_block = stages[-1 - up_stages - 1]  # conv_out is the last stage; the up blocks lie between
    before_conv_out = network.decoder.conv_norm_out.silu_over(stages[-2])(stages[-2].whole())[..., :1]
    assert_close(mid_block.whole().transpose(0, 3, 1, 2), run.block("decoder_mid_block"))
    assert_close(before_conv_out.transpose(0, 3, 1, 2), run.block("decoder_before_conv_out"))
    assert_close(decoded.transpose(0, 3, 1, 2), run.block("decoded"))


@with_blocks
def test_encoder(name: str) -> None:
    run = recording(name)
    network = networks.encoder(run)
    picture = networks.channels_last(run.block("encoder_picture").astype(np.float32) / 127.5 - 1.0)
    latents = network.encode(picture)
    assert_close(latents.transpose(0, 3, 1, 2), run.block("encoder_normalised"))
    mode = network.unpatchify(network.bn.denormalize(latents))
    assert_close(mode.transpose(0, 3, 1, 2), run.block("encoder_mode"))
