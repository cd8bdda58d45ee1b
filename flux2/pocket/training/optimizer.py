"""Muon for matrices and AdamW for the rest, over weights that lie in one buffer.

Weights of equal shape lie beside each other, so a group of matrices is updated as one batch, and all gradients are
averaged over GPUs in one call. Muon: Keller Jordan, https://kellerjordan.github.io/posts/muon/, with the update
scaled to the size of AdamW's as in "Muon is Scalable for LLM Training" (arXiv:2502.16982), so that one learning rate
serves both.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

NOT_FOR_MUON = (
    "embed_tokens",
    "x_embedder",
    "proj_out",
    "norm_out",
    "timestep_embedder",
    "conv_in",
    "conv_out",
    "quant",
)
"""Embeddings and the layers at the edges of a network are not matrices between hidden states."""
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
MOMENTUM, WEIGHT_DECAY = 0.95, 0.02
BETAS, EPSILON = (0.9, 0.98), 1e-8


class FlatWeights:
    """The trainable weights of some modules, moved into one buffer; gradients accumulate into another."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        matrices: dict[tuple[int, int], list[nn.Parameter]] = {}
        rest: list[nn.Parameter] = []
        for module in modules:
            for name, weight in module.named_parameters():
                if not weight.requires_grad:
                    continue
                shape = (weight.shape[0], weight[0].numel())
                is_matrix = weight.ndim == 2 or (weight.ndim == 4 and weight.shape[0] * weight.shape[1] >= 1024)
                if is_matrix and not any(word in name for word in NOT_FOR_MUON):
                    matrices.setdefault(shape, []).append(weight)
                else:
                    rest.append(weight)
        ordered = [weight for group in matrices.values() for weight in group] + rest
        total = sum(weight.numel() for weight in ordered)
        device = ordered[0].device
        self.values = torch.empty(total, device=device)
        self.gradients = torch.zeros(total, device=device)
        start = 0
        for weight in ordered:
            end = start + weight.numel()
            self.values[start:end].copy_(weight.detach().flatten())
            weight.data = self.values[start:end].view(weight.shape)
            weight.grad = self.gradients[start:end].view(weight.shape)
            start = end
        self.groups: list[tuple[slice, tuple[int, int, int]]] = []
        start = 0
        for (rows, columns), group in matrices.items():
            end = start + len(group) * rows * columns
            self.groups.append((slice(start, end), (len(group), rows, columns)))
            start = end
        self.matrices, self.rest = slice(0, start), slice(start, total)


class Optimizer:
    """`learning_rate` is a tensor, so that a captured CUDA graph can be given another value."""

    def __init__(self, weights: FlatWeights) -> None:
        self.weights = weights
        device = weights.values.device
        self.learning_rate = torch.zeros((), device=device)
        self.momentum = torch.zeros_like(weights.values[weights.matrices])
        self.first = torch.zeros_like(weights.values[weights.rest])
        self.second = torch.zeros_like(weights.values[weights.rest])
        self.steps = torch.zeros((), device=device)

    def state(self) -> dict[str, Tensor]:
        return {
            "values": self.weights.values,
            "momentum": self.momentum,
            "first": self.first,
            "second": self.second,
            "steps": self.steps,
        }

    @torch.no_grad()
    def step(self) -> None:
        values, gradients = self.weights.values, self.weights.gradients
        for part, shape in self.weights.groups:
            gradient, momentum = gradients[part].view(shape), self.momentum[part].view(shape)
            momentum.mul_(MOMENTUM).add_(gradient)
            update = orthogonalize(gradient + MOMENTUM * momentum) * (0.2 * max(shape[1:]) ** 0.5)
            values[part].view(shape).mul_(1 - self.learning_rate * WEIGHT_DECAY).sub_(update * self.learning_rate)
        self._adam(values[self.weights.rest], gradients[self.weights.rest])

    def _adam(self, values: Tensor, gradient: Tensor) -> None:
        gradient = gradient * (1 / gradient.norm().clamp(min=1.0))
        self.steps.add_(1)
        self.first.lerp_(gradient, 1 - BETAS[0])
        self.second.lerp_(gradient * gradient, 1 - BETAS[1])
        mean = self.first / (1 - BETAS[0] ** self.steps)
        spread = (self.second / (1 - BETAS[1] ** self.steps)).sqrt()
        values.sub_(self.learning_rate * mean / (spread + EPSILON))


def orthogonalize(matrices: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrix of each [n, rows, columns], roughly, by five Newton-Schulz steps in bf16."""
    a, b, c = NEWTON_SCHULZ
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.transpose(1, 2)
        x = a * x + (b * square + c * (square @ square)) @ x
    return (x.transpose(1, 2) if tall else x).float()
