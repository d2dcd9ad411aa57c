"""Many networks of one architecture, evaluated as one."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from losslab.lockstep.passes import Unstackable, first_line, passed, require_same
from losslab.models.freezing import set_training
from losslab.rng import Purpose, derive_seed, global_state, seed_global

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Identity)


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
    mapped with ``torch.func.vmap``. Running statistics, as of batch normalization, are buffers of
    each network, which a pass in training mode updates.

    Args:
        networks: networks of one architecture, on one device.
        sample: batch of one run, from which the shapes of the layers' inputs are found.

    Raises:
        Unstackable: if the network cannot be mapped over weights, draws random numbers other than
            by dropout, or does not give the predictions, gradients and buffers that it gives alone.

    Attributes:
        parameters: stacked parameters that are trained by name, (K, *), which require gradients.

    Example:
        >>> networks = [nn.Linear(2, 1) for _ in range(3)]
        >>> stack = Stack(networks, torch.ones(5, 2))
        >>> stack(torch.ones(3, 5, 2)).shape
        torch.Size([3, 5, 1])
    """

    parameters: dict[str, Tensor]
    _buffers: dict[str, Tensor]

    def __init__(self, networks: Sequence[nn.Module], sample: Tensor) -> None:
        self._template = copy.deepcopy(networks[0])
        self._layers = _dropout_layers(self._template, sample)
        for name in self._layers:
            self._template.set_submodule(name, Masked())
        set_training(self._template, training=True)
        self.load(networks)
        self._mapped = vmap(self._one)
        self._affine = _is_affine_chain(self._template, sample)
        self._changing: list[str] = []
        self._require_stackable(networks[-1], sample)

    @property
    def draws(self) -> bool:
        """Return whether the networks draw random numbers during training."""
        return bool(self._layers)

    @property
    def keeps_statistics(self) -> bool:
        """Return whether a pass in training mode changes buffers of the networks."""
        return bool(self._changing)

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
            set_training(self._template, masks is not None)
        buffers = self._buffers | (masks or {})
        if self._affine:
            return self._chained(buffers, inputs)
        predictions: Tensor = self._mapped(self.parameters, buffers, inputs)
        return predictions

    def _chained(self, buffers: Mapping[str, Tensor], values: Tensor) -> Tensor:
        """Return the predictions of a chain of affine and element-wise layers."""
        held = self.parameters | dict(buffers)
        for name, layer in self._template.named_children():
            if isinstance(layer, nn.Linear):
                values = _affine(values, held[f"{name}.weight"], held.get(f"{name}.bias"))
            elif isinstance(layer, nn.Flatten):
                values = values.flatten(2)
            elif not isinstance(layer, Masked):
                values = layer(values)
            elif self._template.training:
                values = values * held[f"{name}.mask"]
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
        weights, buffers = stack_module_state(list(networks))
        # a network that is not trained at all, such as a target network, keeps its parameters
        self.parameters = {n: v for n, v in weights.items() if v.requires_grad} or weights
        frozen = {name: v for name, v in weights.items() if name not in self.parameters}
        self._buffers = buffers | frozen

    def statistics(self) -> dict[str, Tensor]:
        """Return copies of the buffers that a pass in training mode changes."""
        return {name: self._buffers[name].clone() for name in self._changing}

    def restore(self, statistics: Mapping[str, Tensor]) -> None:
        """Undo passes in training mode since these statistics were copied."""
        self._buffers |= statistics

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

    def _require_stackable(self, network: nn.Module, sample: Tensor) -> None:
        """Compare a training pass of the last network in the stack with one of its own.

        Args:
            network: the last network.
            sample: batch of one run.
        """
        rows = len(next(iter(self.parameters.values())))
        inputs = sample.expand(rows, *sample.shape)
        masks = self.masks([0] * rows, 0, 0, inputs)
        generators, buffers = global_state(), {n: v.clone() for n, v in self._buffers.items()}
        try:
            together = passed(self(inputs, masks), self.parameters).row(-1)
        except (RuntimeError, ValueError) as error:
            raise Unstackable(f"the network cannot be mapped: {first_line(error)}") from error
        if not torch.equal(generators, global_state()):
            raise Unstackable("the network draws random numbers other than by dropout")
        after, self._buffers = self._buffers, buffers
        self._changing = [n for n, v in after.items() if not torch.equal(v, buffers[n])]
        alone = self._own_copy(network, masks)
        require_same(alone, sample, together, {name: value[-1] for name, value in after.items()})

    def _own_copy(self, network: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
        """Return a copy of a network in training mode, with the dropout masks of the last row."""
        own = copy.deepcopy(network)
        for name in self._layers:
            masked = Masked()
            masked.mask = masks[f"{name}.mask"][-1]
            own.set_submodule(name, masked)
        set_training(own, training=True)
        return own


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
