"""Many networks of one architecture, evaluated as one."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from losslab.rng import Purpose, derive_seed, global_state, seed_global

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Identity)


class Unstackable(Exception):  # noqa: N818 (an expected outcome, not a fault)
    """Raised if runs cannot be trained together; the message completes ``because ...``."""


class Masked(nn.Module):
    """Dropout layer whose mask is a buffer."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones(()))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the inputs times the mask, or the inputs in evaluation mode."""
        return inputs * self.mask if self.training else inputs


class Stack:
    """K networks with stacked weights: one forward pass of all, each on its own inputs.

    Dropout layers use the masks that they would draw in a run alone, in which the global generator
    is seeded for each step; so masks depend only on (seed, step).

    Chains of affine and element-wise layers are computed with one batched product per layer, which
    takes a tenth of the time of mapping if networks and batches are small. Other networks are
    mapped with ``torch.func.vmap``.

    Args:
        networks: networks of one architecture, on one device.
        sample: batch of one run, from which the shapes of the layers' inputs are found.

    Raises:
        Unstackable: if the network cannot be mapped over weights, draws random numbers other than
            by dropout, or changes its buffers.

    Attributes:
        parameters: stacked parameters by name, (K, *), which require gradients.

    Example:
        >>> networks = [nn.Linear(2, 1) for _ in range(3)]
        >>> stack = Stack(networks, torch.ones(5, 2))
        >>> stack(torch.ones(3, 5, 2)).shape
        torch.Size([3, 5, 1])
    """

    def __init__(self, networks: Sequence[nn.Module], sample: Tensor) -> None:
        self._template = copy.deepcopy(networks[0])
        self._layers = _dropout_layers(self._template, sample)
        for name in self._layers:
            self._template.set_submodule(name, Masked())
        self.parameters, self._buffers = stack_module_state(list(networks))
        self._mapped = vmap(self._one)
        self._affine = _is_affine_chain(self._template, sample)
        self._require_stackable(sample)

    @property
    def draws(self) -> bool:
        """Return whether the networks draw random numbers during training."""
        return bool(self._layers)

    @property
    def masked(self) -> list[str]:
        """Names of the buffers that hold dropout masks."""
        return [f"{name}.mask" for name in self._layers]

    def __call__(self, inputs: Tensor, masks: dict[str, Tensor] | None = None) -> Tensor:
        """Return the predictions of all networks.

        Args:
            inputs: inputs of each network, (K, B, *).
            masks: dropout masks from :meth:`masks`; ``None`` for evaluation mode.

        Returns:
            Predictions (K, B, *).
        """
        if self._template.training != (masks is not None):
            self._template.train(masks is not None)
        buffers = self._buffers | (masks or {})
        if self._affine:
            return self._chained(buffers, inputs)
        predictions: Tensor = self._mapped(self.parameters, buffers, inputs)
        return predictions

    def _chained(self, buffers: Mapping[str, Tensor], values: Tensor) -> Tensor:
        """Return the predictions of a chain of affine and element-wise layers."""
        for name, layer in self._template.named_children():
            if isinstance(layer, nn.Linear):
                weight = self.parameters[f"{name}.weight"]
                values = _affine(values, weight, self.parameters.get(f"{name}.bias"))
            elif isinstance(layer, nn.Flatten):
                values = values.flatten(2)
            elif not isinstance(layer, Masked):
                values = layer(values)
            elif self._template.training:
                values = values * buffers[f"{name}.mask"]
        return values

    def masks(
        self, seeds: Sequence[int], epoch: int, batch: int, inputs: Tensor
    ) -> dict[str, Tensor]:
        """Draw the dropout masks of a training step, (K, B, *) by buffer; empty without dropout.

        Args:
            seeds: seeds of the runs.
            epoch: epoch, counted from 0.
            batch: step within the epoch, counted from 0.
            inputs: inputs of the step, (K, B, *).
        """
        if not self._layers:
            return {}
        drawn = {seed: self._draw(seed, epoch, batch, inputs) for seed in dict.fromkeys(seeds)}
        return {
            name: torch.stack([drawn[seed][place] for seed in seeds])
            for place, name in enumerate(self.masked)
        }

    def select(self, rows: Sequence[int]) -> "Stack":
        """Return a copy of the stack with only these networks."""
        other = copy.copy(self)
        other.keep(rows)
        return other

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these networks, in this order."""
        index = torch.tensor(list(rows))
        self.parameters = {
            name: value.detach()[index.to(value.device)].requires_grad_()
            for name, value in self.parameters.items()
        }
        self._buffers = {
            name: value[index.to(value.device)] for name, value in self._buffers.items()
        }

    def load(self, networks: Sequence[nn.Module]) -> None:
        """Replace weights and buffers by those of these networks."""
        self.parameters, self._buffers = stack_module_state(list(networks))

    def row(self, row: int) -> dict[str, Tensor]:
        """Return views of one network's weights and buffers, by name."""
        return {
            name: value.detach()[row] for name, value in (self.parameters | self._buffers).items()
        }

    def _one(
        self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor
    ) -> Tensor:
        prediction: Tensor = functional_call(self._template, (parameters, buffers), (inputs,))
        return prediction

    def _draw(self, seed: int, epoch: int, batch: int, inputs: Tensor) -> list[Tensor]:
        # same seed as in SupervisedModule.training_step
        seed_global(derive_seed(seed, Purpose.DROPOUT, 0, epoch, batch), inputs.device)
        return [
            layer(torch.ones(inputs.shape[1], *shape, dtype=inputs.dtype, device=inputs.device))
            for layer, shape in self._layers.values()
        ]

    def _require_stackable(self, sample: Tensor) -> None:
        inputs = sample.expand(len(next(iter(self.parameters.values()))), *sample.shape)
        masks = self.masks([0] * len(inputs), 0, 0, inputs)
        before = global_state()
        buffers = {name: value.clone() for name, value in self._buffers.items()}
        try:
            with torch.no_grad():
                together = self(inputs, masks)
        except (RuntimeError, ValueError) as error:
            raise Unstackable(f"the network cannot be mapped: {first_line(error)}") from error
        if not torch.equal(before, global_state()):
            raise Unstackable("the network draws random numbers other than by dropout")
        if any(not torch.equal(value, self._buffers[name]) for name, value in buffers.items()):
            raise Unstackable("the network keeps running statistics")
        self._template.train()
        with torch.no_grad():
            own = {name: value[-1] for name, value in (self._buffers | masks).items()}
            weights = {name: value[-1] for name, value in self.parameters.items()}
            alone = self._one(weights, own, sample)
        if not torch.allclose(together[-1], alone, rtol=1e-3, atol=1e-4, equal_nan=True):
            raise Unstackable("the network gives different results when it is mapped")


def _dropout_layers(
    network: nn.Module, sample: Tensor
) -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Find the dropout layers in the order in which they draw, with the shapes of their inputs."""
    seen: dict[str, tuple[nn.Module, tuple[int, ...]]] = {}
    handles = []
    for name, module in network.named_modules():
        if isinstance(module, DROPOUTS):

            def note(
                layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, name: str = name
            ) -> None:
                if name in seen or len(inputs[0]) != len(sample):
                    raise Unstackable(f"the network uses dropout layer {name} in an unusual way")
                seen[name] = (layer, tuple(inputs[0].shape[1:]))

            handles.append(module.register_forward_hook(note))
    if not handles:
        return {}
    state = torch.get_rng_state()
    with torch.no_grad():
        network.train()(sample)
    torch.set_rng_state(state)
    for handle in handles:
        handle.remove()
    return seen


def _affine(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Apply affine maps with weights (K, O, I) and biases (K, O): (K, B, I) to (K, B, O)."""
    if bias is not None and not torch.is_grad_enabled():
        return bias[:, None].baddbmm(values, weight.mT)
    # with the weight first its gradient has the weight's memory layout, and needs no copy
    product = weight @ values.mT
    return (product if bias is None else product + bias[:, :, None]).mT


def _is_affine_chain(network: nn.Module, sample: Tensor) -> bool:
    """Return whether a network is a chain of layers that :meth:`Stack._chained` supports."""
    if not isinstance(network, nn.Sequential):
        return False
    layers = list(network.children())  # a layer that is used twice is listed once
    flat = sample.ndim == 2 or (sample.ndim > 2 and type(layers[0]) is nn.Flatten)
    plain = type(network).forward is nn.Sequential.forward and len(layers) == len(network)
    return flat and plain and all(map(_is_known, layers))


def _is_known(layer: nn.Module) -> bool:
    if type(layer) is nn.Flatten:
        return (layer.start_dim, layer.end_dim) == (1, -1)
    return type(layer) in (nn.Linear, Masked, *ELEMENTWISE)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its class name if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
