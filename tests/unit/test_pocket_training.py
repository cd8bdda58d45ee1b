"""The parts of the training that can be checked in a moment; they need the extra `train`."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from diffusers import Flux2KleinPipeline  # noqa: E402
from transformers import AutoTokenizer, Qwen3ForCausalLM  # noqa: E402

import flux2.pocket  # noqa: E402
from flux2.pocket.training.evaluate import as_tensor  # noqa: E402
from flux2.pocket.training.judge import Judge  # noqa: E402
from flux2.pocket.training.latents import image_ids, patchify, unpatchify  # noqa: E402
from flux2.pocket.training.loop import Schedule, Task, Trainer  # noqa: E402
from flux2.pocket.training.networks import TEXT_LAYERS, new_scheduler  # noqa: E402
from flux2.pocket.training.optimizer import FlatWeights, orthogonalize  # noqa: E402
from flux2.pocket.training.rendering import draw_chunk, labels_of  # noqa: E402
from flux2.pocket.training.sampling import sigmas  # noqa: E402
from flux2.pocket.training.scenes import draw, held_out_scenes  # noqa: E402
from flux2.pocket.training.text import PromptEmbedder  # noqa: E402
from flux2.pocket.training.tokenizer import MAX_TOKENS, tokenize  # noqa: E402

CHECKPOINT = Path(flux2.pocket.__file__).parent / "checkpoint"


def test_prompt_embeddings_are_those_of_transformers() -> None:
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT / "tokenizer")
    encoder = Qwen3ForCausalLM.from_pretrained(CHECKPOINT / "text_encoder", dtype=torch.float32)
    tokens, lengths = tokenize(tokenizer, ["a red fox in the snow", "A fluffy orange tabby cat"])
    tokens, lengths = torch.from_numpy(tokens).long(), torch.from_numpy(lengths).long()
    mask = (torch.arange(MAX_TOKENS) < lengths[:, None]).long()
    with torch.no_grad():
        ours = PromptEmbedder(encoder)(tokens, lengths)
        states = encoder(input_ids=tokens, attention_mask=mask, output_hidden_states=True).hidden_states
    theirs = torch.cat([states[number] for number in TEXT_LAYERS], -1)
    assert (ours - theirs).norm() / theirs.norm() < 1e-5


def test_latents_are_patched_as_the_pipeline_does() -> None:
    latents = torch.randn(2, 32, 6, 10)
    assert torch.equal(patchify(latents), Flux2KleinPipeline._patchify_latents(latents))
    assert torch.equal(unpatchify(patchify(latents)), latents)
    ids = Flux2KleinPipeline._prepare_latent_ids(torch.zeros(1, 128, 3, 5))
    assert torch.equal(image_ids(3, 5), ids[0])


@pytest.mark.parametrize(("tokens", "steps"), [(256, 4), (240, 8), (256, 28)])
def test_noise_levels_are_those_of_the_scheduler(tokens: int, steps: int) -> None:
    from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu

    scheduler = new_scheduler()
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps), mu=compute_empirical_mu(tokens, steps))
    assert np.allclose(scheduler.sigmas.numpy(), sigmas(tokens, steps), atol=1e-6)


def test_orthogonalized_matrices_have_singular_values_near_one() -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalize(torch.randn(3, 64, 192)))
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.4


def test_flat_weights_are_the_weights_of_the_modules() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8), torch.nn.LayerNorm(8))
    before = [weight.detach().clone() for weight in module.parameters()]
    flat = FlatWeights([module])
    assert [shape for _, shape in flat.groups] == [(2, 8, 8)]
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    flat.values.zero_()
    assert not any(weight.any() for weight in module.parameters())
    module(torch.ones(1, 8)).sum().backward()
    assert flat.gradients.any()


def test_training_lowers_the_loss_and_goes_on_from_its_state(tmp_path: Path) -> None:
    torch.manual_seed(0)
    inputs, wanted = torch.randn(64, 16), torch.randn(64, 16)

    def loss(module: torch.nn.Module) -> float:
        with torch.no_grad():
            return float((module(inputs) - wanted).square().mean())

    def trainer(module: torch.nn.Module, seconds: float) -> Trainer:
        task = Task(lambda: (module(inputs) - wanted).square().mean())
        return Trainer("test", [module], Schedule(seconds, 1e-2, warmup=5), [task])

    module = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 16))
    first = trainer(module, 0.3)
    before = loss(module)
    first.run(lambda: None, save_to=tmp_path / "state.pt")
    assert loss(module) < 0.95 * before

    other = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 16))
    second = trainer(other, 0.3)
    second.restore(tmp_path / "state.pt")
    assert second.step_number == first.step_number > 0
    assert torch.equal(other(inputs), module(inputs))


def test_a_chunk_does_not_depend_on_who_draws_it() -> None:
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT / "tokenizer")
    first, second = (draw_chunk(1, 500, tokenizer) for _ in range(2))
    assert np.array_equal(first.pictures, second.pictures)
    assert np.array_equal(first.tokens, second.tokens)
    assert first.pictures.shape[1:] == (192, 320, 3)
    assert first.lengths.max() < MAX_TOKENS


def test_the_judge_knows_drawn_scenes_and_can_say_no() -> None:
    """A judge that agreed with everything would make the scores worthless."""
    judge = Judge.load()
    scenes = held_out_scenes(28)
    seen = [judge.answers(as_tensor(draw(s, Random(i), 256, 256)))[0].tolist() for i, s in enumerate(scenes)]
    wanted = [list(labels_of(scene)) for scene in scenes]
    assert np.mean(np.array(seen) == np.array(wanted)) > 0.97
    others = wanted[1:] + wanted[:1]
    assert np.mean(np.array(seen) == np.array(others)) < 0.4
