import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from losslab.losses import cross_entropy, entropy, kl_divergence, self_information
from losslab.losses.functional.information import _weighted_log

BASES = pytest.mark.parametrize("base", [2, math.e], ids=["bits", "nats"])


@pytest.fixture
def distributions():
    generator = np.random.default_rng(0)
    return generator.dirichlet(np.ones(5), size=7), generator.dirichlet(np.ones(5), size=7)


@BASES
def test_entropies_are_scipys(distributions, base):
    q, p = distributions
    own, excess = stats.entropy(q, base=base, axis=1), stats.entropy(q, p, base=base, axis=1)
    tensors = torch.from_numpy(q), torch.from_numpy(p)
    assert_close(entropy(tensors[0], base).numpy(), own)
    assert_close(kl_divergence(*tensors, base).numpy(), excess)
    assert_close(cross_entropy(*tensors, base).numpy(), own + excess)


@BASES
def test_self_information_is_the_log_of_the_odds_against(base):
    assert_close(
        self_information(torch.tensor([1.0, 0.125]), base).tolist(), [0.0, math.log(8, base)]
    )


def test_impossible_events_add_exactly_nothing():
    q, p = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.25, 0.75, 0.0])
    assert entropy(q, base=2).item() == 1
    assert cross_entropy(q, p).item() == cross_entropy(q[:2], p[:2]).item()
    assert kl_divergence(q, p).item() == kl_divergence(q[:2], p[:2]).item()
    assert kl_divergence(q, q).item() == 0


def test_what_cannot_happen_and_does_is_infinitely_surprising():
    q, p = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])
    assert self_information(torch.tensor(0.0)).item() == math.inf
    assert cross_entropy(q, p).item() == math.inf
    assert kl_divergence(q, p).item() == math.inf


def test_gradients_are_finite_where_both_exclude_an_event():
    q = torch.tensor([1.0, 0.0])
    p = torch.tensor([1.0, 0.0], requires_grad=True)
    cross_entropy(q, p).backward()
    assert p.grad.tolist() == [-1, 0]


def test_gradients_are_those_of_finite_differences(distributions):
    q, p = (torch.from_numpy(values).requires_grad_() for values in distributions)
    for measure in (cross_entropy, kl_divergence):
        assert torch.autograd.gradcheck(measure, (q, p))
    assert torch.autograd.gradcheck(entropy, (q,))
    assert torch.autograd.gradcheck(self_information, (q,))


def test_the_events_may_be_in_any_dimension(distributions):
    q = torch.from_numpy(distributions[0])
    assert_close(entropy(q.T, dim=0), entropy(q), rtol=0, atol=0)


def test_half_precision_is_computed_in_float32():
    even = torch.full((1000,), 1e-3, dtype=torch.float16)
    expected = stats.entropy(even.numpy().astype(float)) * float(even.double().sum())
    assert entropy(even).dtype == torch.float32
    assert entropy(even).item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("base", [1, 0, -2])
def test_a_base_must_be_above_1(base):
    for call in (self_information, entropy):
        with pytest.raises(ValueError, match="base must be > 1"):
            call(torch.tensor([1.0]), base)


@pytest.mark.parametrize("seed", range(5))
def test_the_divergence_of_nearly_equal_distributions_is_not_negative(seed):
    """Its terms cancel: their sum in float32 may be -2e-7."""
    stream = torch.Generator().manual_seed(seed)
    q = torch.randn(1000, 7, generator=stream).mul(5).softmax(1)
    p = q * (1 + 1e-7 * torch.randn(1000, 7, generator=stream))
    p = (p / p.sum(1, keepdim=True)).requires_grad_()
    divergence = kl_divergence(q, p)
    assert divergence.min() >= 0
    divergence.sum().backward()  # the gradient is that of the formula
    assert_close(p.grad, -q / p.detach())


def test_the_product_with_a_logarithm_of_nothing_has_no_gradient():
    q = torch.tensor([0.0, 0.5], dtype=torch.float64, requires_grad=True)
    p = torch.tensor([0.0, 0.25], dtype=torch.float64, requires_grad=True)
    value = _weighted_log(q, p)
    assert_close(value.detach().tolist(), [0.0, 0.5 * math.log(0.25)])
    of_q, of_p = torch.autograd.grad(value.sum(), (q, p))
    assert_close(of_q.tolist(), [0.0, math.log(0.25)])
    assert of_p.tolist() == [0.0, 2.0]
