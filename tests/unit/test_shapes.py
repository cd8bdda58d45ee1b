"""The tensors that config files imply are those of the networks, ours and the reference's."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flux2.architecture.autoencoder import AutoencoderConfig
from flux2.architecture.published import ARCHITECTURES, scaled_down
from flux2.architecture.shapes import Shapes, count
from flux2.architecture.text_encoder import find_text_encoder
from flux2.architecture.transformer import Flux2TransformerConfig
from flux2.backend.mlx import nn
from flux2.checkpoint.arrangements import renamed_tensor
from flux2.checkpoint.networks import text_encoder_kind
from flux2.models.autoencoder import AutoencoderKLFlux2
from flux2.models.transformer import Flux2Transformer2DModel
from tests.unit.checkpoints import parameter_shapes

PARAMETERS = {"klein-4b": 3_875_544_576, "klein-9b": 9_078_581_248, "dev": 32_223_281_152}
"""Parameters of the published transformers."""
VAE_PARAMETERS = 84_046_115


@pytest.mark.parametrize(("model", "parameters"), PARAMETERS.items())
def test_transformers_have_the_published_number_of_parameters(model: str, parameters: int) -> None:
    assert count(ARCHITECTURES[model].shapes()["transformer"]) == parameters


def test_vae_has_the_published_number_of_parameters() -> None:
    shapes = ARCHITECTURES["klein-4b"].shapes()["vae"]
    assert count({name: shape for name, shape in shapes.items() if not name.startswith("bn.")}) == VAE_PARAMETERS


@pytest.mark.parametrize("divisor", [1, 16])
@pytest.mark.parametrize("model", ["klein-4b", "klein-9b", "dev"])
def test_shapes_are_those_of_our_networks(model: str, divisor: int) -> None:
    architecture = scaled_down(ARCHITECTURES[model], divisor)
    pairs: list[tuple[nn.Module, Shapes]] = [
        (
            Flux2Transformer2DModel(Flux2TransformerConfig.from_dict(architecture.transformer)),
            architecture.shapes()["transformer"],
        ),
        (AutoencoderKLFlux2(AutoencoderConfig.from_dict(architecture.vae)), architecture.shapes()["vae"]),
    ]
    for network, shapes in pairs:
        shapes.pop("bn.num_batches_tracked", None)
        assert parameter_shapes(network) == shapes


@pytest.mark.parametrize("divisor", [1, 16])
@pytest.mark.parametrize("model", ["klein-4b", "klein-9b", "dev"])
def test_text_encoder_shapes_are_those_of_our_networks(model: str, divisor: int) -> None:
    architecture = scaled_down(ARCHITECTURES[model], divisor)
    config = architecture.text_encoder
    kind = text_encoder_kind(find_text_encoder(config))
    network = parameter_shapes(kind.network(kind.read_config(config, "")))
    shapes = architecture.shapes()["text_encoder"]
    files = {renamed_tensor(kind.renamed, name): shape for name, shape in shapes.items()}
    assert network.items() <= files.items()
    assert all(re.fullmatch(kind.unused, name) for name in files.keys() - network.keys())


@pytest.mark.parametrize("model", ["klein-4b", "klein-9b", "dev"])
def test_shapes_are_those_of_the_reference(model: str) -> None:
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    architecture = ARCHITECTURES[model]
    with torch.device("meta"):
        transformer = diffusers.Flux2Transformer2DModel.from_config(architecture.transformer)
        vae = diffusers.AutoencoderKLFlux2.from_config(architecture.vae)
    assert reference_shapes(transformer) == architecture.shapes()["transformer"]
    assert reference_shapes(vae) == architecture.shapes()["vae"]


@pytest.mark.parametrize("model", ["klein-4b", "klein-9b", "dev"])
def test_text_encoder_shapes_are_those_of_the_reference(model: str) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    architecture = ARCHITECTURES[model]
    config = transformers.AutoConfig.for_model(**architecture.text_encoder)
    with torch.device("meta"):
        network = getattr(transformers, architecture.text_encoder["architectures"][0])(config)
    mistral = architecture.text_encoder["model_type"] == "mistral3"
    expected = {saved_name(name) if mistral else name: shape for name, shape in reference_shapes(network).items()}
    if architecture.text_encoder.get("tie_word_embeddings"):
        del expected["lm_head.weight"]  # the embedding table itself
    assert architecture.shapes()["text_encoder"] == expected


def saved_name(name: str) -> str:
    """The name under which Mistral 3's parameters are saved, which is not the one they have in memory."""
    if name.startswith("lm_head."):
        return f"language_model.{name}"
    return name.replace("model.language_model.", "language_model.model.").removeprefix("model.")


def reference_shapes(network: Any) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_scaled_down_models_keep_what_quantization_and_heads_need(model: str) -> None:
    small = scaled_down(ARCHITECTURES[model], 16)
    linears = {name: shape for name, shape in small.shapes()["transformer"].items() if len(shape) == 2}
    assert linears
    assert all(shape[-1] % 64 == 0 for shape in linears.values())
    assert count(small.shapes()["transformer"]) < count(ARCHITECTURES[model].shapes()["transformer"]) / 100


def test_scaling_down_leaves_the_original_alone() -> None:
    before = count(ARCHITECTURES["dev"].shapes()["text_encoder"])
    scaled_down(ARCHITECTURES["dev"], 8)
    assert count(ARCHITECTURES["dev"].shapes()["text_encoder"]) == before
