"""Steps on a GPU: a real one where there is one, and everywhere a pretended one."""

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from losslab.lockstep.loop import RunBatch
from losslab.lockstep.sweep import _members, train_jobs

from .test_capture import DIGITS, SMALL, SWEEPS
from .test_sweep import curves_of

STEPS = SWEEPS | {
    "class weights": ["data=digits", "loss=cross_entropy", "loss.weight=balanced", *SMALL],
    "clouds": ["data.n=60", "data.points=32", "loss=chamfer", SMALL[-1]],
    "clouds, emd": ["data.n=60", "data.points=32", "loss=emd", SMALL[-1]],
    "embeddings": ["data.copies=1", "loss=triplet,contrastive,angular", SMALL[-1]],
}


@pytest.mark.parametrize("overrides", STEPS.values(), ids=STEPS)
def test_a_step_neither_mixes_devices_nor_waits(jobs, monkeypatch, overrides):
    members, left = _members(jobs("one", *overrides), {})
    assert not left
    group = RunBatch(members, torch.device("cpu"), torch.float32)
    batch = next(group.streams.batches("train", 0))
    masks = group.stack.masks([0] * len(members), 0, 0, group.task.pair(batch)[0])
    # torch has no engine for gradients on a device that is not there
    monkeypatch.setattr(
        torch.autograd, "grad", lambda _, inputs, **__: map(torch.ones_like, inputs)
    )
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:

        def moved(tensor: Tensor) -> Tensor:
            return fake.from_tensor(tensor.detach()).to("cuda")

        group.stack.parameters = {
            name: moved(value).requires_grad_() for name, value in group.stack.parameters.items()
        }
        for block in group.blocks:
            block.losses.values = {
                name: moved(value).requires_grad_() for name, value in block.losses.values.items()
            }
        for module in (part for member in members for part in member.components.module.modules()):
            for name, value in module.named_buffers(recurse=False):
                setattr(module, name, moved(value))
        step = group._compute(True, len(batch), *map(moved, batch), *map(moved, masks.values()))
    assert step.objectives.device.type == "cuda"
    gradients = [*step.gradients.network.values()]
    gradients += [value for own in step.gradients.losses for value in own.values()]
    assert all(gradient.device.type == "cuda" for gradient in gradients)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("overrides", SWEEPS.values(), ids=SWEEPS)
def test_runs_on_a_gpu_leave_the_same_with_steps_recorded_or_not(jobs, overrides):
    called = jobs("called", *overrides, "trainer=gpu", "trainer.precision=64-true")
    replayed = jobs("replayed", *overrides, "trainer=gpu", "trainer.precision=64-true")
    assert not train_jobs(called, capture=False)
    assert not train_jobs(replayed)
    for one, other in zip(called, replayed, strict=True):
        assert curves_of(other.folder) == pytest.approx(curves_of(one.folder), rel=1e-6, abs=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_records_the_steps_of_a_stack(jobs, monkeypatch):
    replays = []
    replay = torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(
        torch.cuda.CUDAGraph, "replay", lambda graph: (replays.append(graph), replay(graph))[1]
    )
    assert not train_jobs(jobs("one", *DIGITS, "loss=bce,focal", "trainer=gpu"))
    assert len(replays) > 10
