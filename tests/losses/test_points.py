"""Chamfer and earth mover's distance beside scipy and POT, and where they are hard to get right."""

import tracemalloc

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial import distance
from torch.testing import assert_close

from losslab.losses import ChamferLoss, EMDLoss, PaddedPoints
from losslab.losses.functional import fused, kernels, points, transport

needs_kernels = pytest.mark.skipif(kernels.library() is None, reason="no C++ compiler")


def cube(seed, n, size, dtype=torch.float32):
    return torch.rand(n, size, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def sphere(seed, n, size, dtype=torch.float32):
    cloud = torch.randn(n, size, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return cloud / cloud.norm(dim=-1, keepdim=True)


def chamfer_of(x, y, squared=True):
    """The whole matrix, in float64."""
    metric = "sqeuclidean" if squared else "euclidean"
    away = [distance.cdist(a, b, metric) for a, b in zip(x.double(), y.double(), strict=True)]
    return torch.tensor([d.min(axis=0).mean() + d.min(axis=1).mean() for d in away])


def emd_of(x, y, p=1):
    values = []
    for a, b in zip(x.double(), y.double(), strict=True):
        away = distance.cdist(a, b) ** p
        values.append(away[linear_sum_assignment(away)].mean())
    return torch.tensor(values)


CLOUDS = {
    "cube": (cube(0, 2, 900), cube(1, 2, 700)),
    "sphere": (sphere(0, 2, 900), sphere(1, 2, 700)),
    "few points": (cube(0, 3, 20), cube(1, 3, 30)),
    "collapsed to a point": (torch.zeros(1, 900, 3), sphere(1, 1, 700)),
    "nearly collapsed": (sphere(0, 1, 900) * 0.01, sphere(1, 1, 700)),
    "half collapsed": (sphere(0, 1, 900) * (torch.arange(900) % 2)[:, None], sphere(1, 1, 700)),
    "far from the origin": (1e4 + 0.01 * cube(0, 1, 900), 1e4 + 0.01 * cube(1, 1, 700)),
    "far from each other": (cube(0, 1, 900), cube(1, 1, 700) + 1e4),
    "a line": (cube(0, 1, 900) * torch.eye(3)[0], cube(1, 1, 700) * torch.eye(3)[0]),
    "tiny": (1e-30 * cube(0, 1, 900), 1e-30 * cube(1, 1, 700)),
    "huge": (1e25 * cube(0, 1, 300), 1e25 * cube(1, 1, 300)),
    "in 20 dimensions": (torch.randn(1, 600, 20), torch.randn(1, 700, 20)),
}


@pytest.mark.parametrize(("x", "y"), CLOUDS.values(), ids=CLOUDS)
def test_chamfer_is_that_of_the_whole_matrix(x, y):
    result = ChamferLoss(squared=False, reduction="none")(x, y)
    assert_close(result.double(), chamfer_of(x, y, squared=False), rtol=1e-5, atol=0)


@pytest.mark.parametrize("share", [0.0, 2.0], ids=["by matrix", "by tree"])
@pytest.mark.parametrize(("x", "y"), CLOUDS.values(), ids=CLOUDS)
def test_tree_and_matrix_find_the_same_neighbours(x, y, share, monkeypatch):
    monkeypatch.setattr(points, "SMALL", 0)
    monkeypatch.setattr(points, "CROWDED", share)
    found = ChamferLoss(squared=False, reduction="none")(x, y)
    assert_close(found.double(), chamfer_of(x, y, squared=False), rtol=1e-5, atol=0)


CROWDED = {
    "cube": (cube(0, 1, 4000), cube(1, 1, 4000), False),
    "collapsed to a point": (torch.zeros(1, 4000, 3), sphere(1, 1, 4000), True),
    "nearly collapsed": (sphere(0, 1, 4000) * 0.01, sphere(1, 1, 4000), True),
    "against the collapsed": (sphere(0, 1, 4000), torch.zeros(1, 4000, 3), True),
}


@pytest.mark.parametrize(("x", "y", "crowded"), CROWDED.values(), ids=CROWDED)
def test_a_tree_is_used_where_it_is_the_faster(x, y, crowded):
    tree = points.cKDTree(y[0].numpy(), balanced_tree=False)
    assert points._is_crowded(tree, x[0].numpy()) is crowded


def test_chamfer_needs_no_quadratic_memory():
    x, y = cube(0, 1, 20_000), cube(1, 1, 20_000)
    largest = []
    with torch.profiler.profile(profile_memory=True) as profile:
        ChamferLoss()(x, y)
    largest = max(event.self_cpu_memory_usage for event in profile.key_averages())
    tracemalloc.start()
    ChamferLoss()(x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(largest, peak) < 20e6  # the matrix has 1,600 MB


IDENTICAL = {
    "chamfer": ChamferLoss(),
    "chamfer plain": ChamferLoss(squared=False),
    "emd": EMDLoss(),
    "emd p=2": EMDLoss(p=2),
    "sinkhorn": EMDLoss(method="sinkhorn", steps=20),
    "sinkhorn p=2": EMDLoss(p=2, method="sinkhorn", steps=20),
}


@pytest.mark.parametrize("loss", IDENTICAL.values(), ids=IDENTICAL)
def test_identical_clouds_are_at_exactly_zero_with_finite_gradient(loss):
    x = sphere(0, 2, 600).requires_grad_()
    result = loss(x, x.detach().clone())
    result.backward()
    assert result.item() == 0
    assert x.grad.isfinite().all()


def test_chamfer_gradient_flows_through_both_points_of_a_pair():
    x, y = cube(0, 1, 5, torch.float64), cube(1, 1, 7, torch.float64)
    for squared in (True, False):
        loss = ChamferLoss(squared=squared)
        assert torch.autograd.gradcheck(loss, (x.requires_grad_(), y.requires_grad_()))


def test_padding_does_not_count():
    x, y = cube(0, 2, 6), cube(1, 2, 5)
    padded = PaddedPoints(torch.cat([x, torch.full((2, 3, 3), torch.nan)], 1), torch.tensor([6, 4]))
    expected = torch.cat([chamfer_of(x[:1], y[:1]), chamfer_of(x[1:, :4], y[1:])]).mean()
    assert_close(ChamferLoss()(padded, y).double(), expected, rtol=1e-6, atol=0)
    assert_close(ChamferLoss()(y, padded).double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("make", [cube, sphere])
def test_emd_is_that_of_scipy_and_of_pot(make, p):
    ot = pytest.importorskip("ot")
    x, y = make(0, 3, 64, torch.float64), make(1, 3, 64, torch.float64)
    result = EMDLoss(p=p, reduction="none")(x, y)
    assert_close(result, emd_of(x, y, p), rtol=1e-12, atol=0)
    pot = [ot.emd2([], [], distance.cdist(a, b) ** p) for a, b in zip(x, y, strict=True)]
    assert_close(result, torch.tensor(pot, dtype=torch.float64), rtol=1e-7, atol=0)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("spread", [0, 0.001, 0.05])
def test_emd_of_a_collapsed_cloud(spread, p):
    x, y = 0.3 + spread * cube(0, 2, 150, torch.float64), 2 * cube(1, 2, 150, torch.float64)
    assert_close(EMDLoss(p=p, reduction="none")(x, y), emd_of(x, y, p), rtol=1e-12, atol=0)
    assert_close(EMDLoss(p=p, reduction="none")(y, x), emd_of(x, y, p), rtol=1e-12, atol=0)


def test_emd_by_network_simplex_is_that_by_assignment(monkeypatch):
    pytest.importorskip("ot")
    x, y = cube(0, 2, 100, torch.float64), cube(1, 2, 100, torch.float64)
    expected = EMDLoss()(x, y)
    monkeypatch.setattr(transport, "LARGE", 1)
    monkeypatch.setattr(transport, "linear_sum_assignment", None)
    assert_close(EMDLoss()(x, y), expected, rtol=1e-12, atol=0)


def test_emd_of_different_sizes_shares_out_the_weights():
    pytest.importorskip("ot")
    x, y = cube(0, 2, 20, torch.float64), cube(1, 2, 30, torch.float64)
    # the same as the assignment between copies: 60 points each
    expected = emd_of(x.repeat_interleave(3, 1), y.repeat_interleave(2, 1))
    assert_close(EMDLoss(reduction="none")(x, y), expected, rtol=1e-9, atol=0)
    assert torch.autograd.gradcheck(EMDLoss(), (x[:, :4].requires_grad_(), y[:, :6]))


def test_emd_of_different_sizes_without_pot_says_what_to_install(monkeypatch):
    monkeypatch.setattr(transport, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"equally many points.*4 and 6.*pip install POT"):
        EMDLoss()(cube(0, 1, 4), cube(1, 1, 6))


def test_sinkhorn_is_annealed_from_1_in_steps_of_equal_ratio(monkeypatch):
    seen = []
    soft_minimum = transport._soft_minimum

    def noted(cost, potential, epsilon):
        seen.append(epsilon)
        return soft_minimum(cost, potential, epsilon)

    monkeypatch.setattr(transport, "_soft_minimum", noted)
    clouds = cube(0, 1, 4, torch.float64), cube(1, 1, 4, torch.float64)
    transport.sinkhorn_cost(*clouds, p=2, blur=0.1, steps=4)
    annealed, final = seen[:-4:4], seen[-4:]
    assert annealed == pytest.approx([0.01 ** (step / 4) for step in range(5)])
    assert final == pytest.approx([0.01] * 4)


def test_an_empty_batch_has_plans_of_the_size_of_others():
    for q, size in ((4, 4), (6, 9)):
        parts = transport.optimal_plan(torch.zeros(0, 4, 3), torch.zeros(0, q, 3), 1)
        assert [tuple(part.shape) for part in parts] == [(0, size)] * 3


def test_emd_threads_give_what_one_thread_gives():
    x, y = cube(0, 5, 50), cube(1, 5, 50)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        several = EMDLoss(reduction="none")(x, y)
    finally:
        torch.set_num_threads(threads)
    assert_close(several.double(), emd_of(x, y), rtol=1e-6, atol=0)


# what the docstring states of the defaults: the error for p=1 and for p=2
SINKHORN = {
    "64 on a sphere": (sphere(0, 4, 64), sphere(1, 4, 64), 0.005, 0.01),
    "64 in a cube": (cube(0, 4, 64), cube(1, 4, 64), 0.005, 0.01),
    "256 on a sphere": (sphere(0, 2, 256), sphere(1, 2, 256), 0.02, 0.01),
    "256 in a cube": (cube(0, 2, 256), cube(1, 2, 256), 0.02, 0.01),
    "1,024 on a sphere": (sphere(0, 1, 1024), sphere(1, 1, 1024), 0.06, 0.01),
    "1,024 in a cube": (cube(0, 1, 1024), cube(1, 1, 1024), 0.06, 0.01),
    "shifted": (cube(0, 1, 512), cube(1, 1, 512) + 1, 0.01, 0.001),
    "a noisy four fifths": (
        sphere(0, 1, 500),
        sphere(0, 1, 500)[:, :400] + 0.01 * cube(1, 1, 400),
        0.2,
        0.2,
    ),
}


@pytest.mark.parametrize(("x", "y", "error_1", "error_2"), SINKHORN.values(), ids=SINKHORN)
def test_sinkhorn_is_low_by_no_more_than_stated(x, y, error_1, error_2):
    if x.shape != y.shape:
        pytest.importorskip("ot")
    for p, error in ((1, error_1), (2, error_2)):
        exact = EMDLoss(p=p, reduction="none")(x, y)
        ratios = EMDLoss(p=p, method="sinkhorn", reduction="none")(x, y) / exact
        assert ((ratios >= 1 - error) & (ratios <= 1.001)).all(), ratios


@pytest.mark.parametrize("p", [1, 2])
def test_sinkhorn_gradient_converges_to_that_of_the_matching(p):
    x, y = cube(0, 2, 40).requires_grad_(), cube(1, 2, 40)
    exact, ours = (
        torch.autograd.grad(EMDLoss(p=p, method=method, blur=1e-4, steps=400)(x, y), x)[0]
        for method in ("exact", "sinkhorn")
    )
    assert (ours - exact).norm() < 0.1 * exact.norm()


def test_sinkhorn_gradient_is_that_of_finite_differences():
    # the corners keep the diameter, which the gradient holds fixed
    corners = torch.tensor([[[-1.0] * 3, [2.0] * 3]], dtype=torch.float64)
    x, y = cube(0, 1, 5, torch.float64), torch.cat([cube(1, 1, 3, torch.float64), corners], dim=1)
    for p in (1, 2):
        loss = EMDLoss(p=p, method="sinkhorn", blur=1.0, steps=60)
        assert torch.autograd.gradcheck(loss, (x.requires_grad_(), y))


SIDES = {
    "cube": (cube(0, 2, 45), cube(1, 2, 45)),
    "as many points as are summed together": (sphere(0, 1, 64), sphere(1, 1, 64)),
    "of different sizes": (cube(0, 3, 7), cube(1, 3, 40)),
    "far from the origin": (100 + cube(0, 1, 20), 100 + cube(1, 1, 20)),
    "collapsed to a point": (torch.zeros(1, 9, 3), sphere(1, 1, 40)),
    "one point each": (cube(0, 1, 1), cube(1, 1, 1)),
    "points in common": (cube(0, 1, 40), torch.cat([cube(0, 1, 20), cube(1, 1, 20)], dim=1)),
    "a line": (cube(0, 1, 30)[..., :1], cube(1, 1, 30)[..., :1]),
    "in 20 dimensions": (cube(0, 1, 60).reshape(1, 9, 20), cube(1, 1, 80).reshape(1, 12, 20)),
    "transposed": (cube(0, 2, 33).mT.contiguous().mT, cube(1, 2, 33).mT.contiguous().mT),
}


@needs_kernels
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize(("x", "y"), SIDES.values(), ids=SIDES)
def test_sinkhorn_kernel_is_its_definition(x, y, p):
    loss = EMDLoss(p=p, method="sinkhorn", blur=0.03, steps=40, reduction="none")
    found = []
    for dtype in (torch.float32, torch.float64):  # of which the kernel computes the first
        given = x.to(dtype).requires_grad_()
        values = loss(given, y.to(dtype))
        found.append((values, *torch.autograd.grad(values, given, torch.arange(1, 1 + len(x)))))
    for ours, expected in zip(*found, strict=True):
        # costs up to 1 are rounded, and divided by the regularization
        atol = torch.finfo(torch.float32).eps / 0.03**p * expected.abs().max().item() + 1e-7
        assert_close(ours.double(), expected, rtol=0, atol=atol)


def slope_of_slopes(loss, x, y):
    given = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(given, y), given, create_graph=True)
    return torch.autograd.grad(gradient.square().sum(), given)[0]


@needs_kernels
def test_second_derivatives_of_the_sinkhorn_kernel_are_those_of_its_definition(monkeypatch):
    loss = EMDLoss(p=1, method="sinkhorn", blur=0.03, steps=40)
    x, y = cube(0, 2, 20), cube(1, 2, 25)
    by_kernel = slope_of_slopes(loss, x, y)
    monkeypatch.setattr(fused, "has_kernel", lambda *tensors: False)
    assert_close(by_kernel, slope_of_slopes(loss, x, y))
    assert by_kernel.abs().max() > 0


@needs_kernels
def test_sinkhorn_kernel_gives_the_same_on_several_threads(monkeypatch):
    monkeypatch.setattr(transport, "_soft_minima", None)  # it is the kernel that is tested
    x, y = cube(0, 5, 50), cube(1, 5, 50)
    values = []
    threads = torch.get_num_threads()
    for number in (1, 3):
        try:
            torch.set_num_threads(number)
            values.append(EMDLoss(method="sinkhorn", reduction="none")(x, y))
        finally:
            torch.set_num_threads(threads)
    assert torch.equal(*values)


@needs_kernels
@pytest.mark.parametrize("p", [1, 2])
def test_sinkhorn_of_a_point_that_is_not_a_number_is_none_either(p):
    for place in (0, 1):
        clouds = [cube(0, 2, 40), cube(1, 2, 40)]
        clouds[place][0, 3, 1] = torch.nan
        x = clouds[0].requires_grad_()
        values = EMDLoss(p=p, method="sinkhorn", steps=5, reduction="none")(x, clouds[1])
        values.sum().backward()
        assert values.isnan().tolist() == [True, False]
        assert x.grad.isnan().any(dim=2).any(dim=1).tolist() == [True, False]


def test_sinkhorn_compiles_and_vmaps():
    x, y = cube(0, 2, 12, torch.float64), cube(1, 2, 12, torch.float64)
    loss = EMDLoss(method="sinkhorn", steps=5)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    assert_close(compiled(x, y), loss(x, y))
    mapped = torch.func.vmap(loss)(x[:, None], y[:, None])
    assert_close(mapped, EMDLoss(method="sinkhorn", steps=5, reduction="none")(x, y))


def test_order_of_the_points_does_not_matter():
    x, y = cube(0, 1, 40, torch.float64), cube(1, 1, 40, torch.float64)
    shuffled = torch.from_numpy(np.random.default_rng(0).permutation(40))
    for loss in (ChamferLoss(), EMDLoss(), EMDLoss(method="sinkhorn", steps=20)):
        assert_close(loss(x[:, shuffled], y), loss(x, y))


WRONG = {
    "NaN": (ChamferLoss(), torch.full((1, 2, 3), torch.nan), cube(0, 1, 2), "finite, got 6 NaN"),
    "infinite": (EMDLoss(), cube(0, 1, 2), torch.full((1, 2, 3), torch.inf), "must be finite"),
    "empty": (ChamferLoss(), cube(0, 1, 2), torch.zeros(1, 0, 3), "target must have at least one"),
    "empty too": (EMDLoss(), torch.zeros(1, 0, 3), cube(0, 1, 2), "prediction must have at least"),
    "one cloud": (ChamferLoss(), cube(0, 1, 2)[0], cube(0, 1, 2), r"\(N, points, dimensions\)"),
    "plane": (EMDLoss(), cube(0, 1, 2), cube(0, 1, 2)[..., :2], r"\(1, points, 3\), got \(1, 2, 2"),
    "integers": (EMDLoss(), cube(0, 1, 2), cube(0, 1, 2).long(), "floating-point"),
}


@pytest.mark.parametrize(("loss", "x", "y", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_cloud_is_refused(loss, x, y, message):
    with pytest.raises(ValueError, match=message):
        loss(x, y)


@pytest.mark.parametrize(
    "options", [{"p": 3}, {"method": "fast"}, {"blur": 0}, {"steps": 0}], ids=str
)
def test_options_of_emd_are_checked(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        EMDLoss(**options)


@pytest.mark.parametrize("p", [1, 2])
def test_sinkhorn_of_the_same_points_in_another_order_is_not_negative(p):
    cloud = torch.randn(200, 6, 3, generator=torch.Generator().manual_seed(0))
    values = EMDLoss(method="sinkhorn", p=p, reduction="none")(cloud, cloud.flip(1))
    assert values.min() >= 0
    assert values.max() < 1e-6


@pytest.mark.parametrize("chunk", [1, 40, 10**6])
def test_the_nearest_points_by_chunks(chunk):
    x, y = cube(0, 2, 9), cube(1, 2, 7)
    expected = [distance.cdist(a, b).argmin(axis=1) for a, b in zip(x, y, strict=True)]
    assert points._nearest_by_matrix(x, y, chunk).tolist() == np.array(expected).tolist()


def test_chunks_are_as_large_as_they_may_be(monkeypatch):
    sizes, split = [], torch.split

    def noted(values, size, dim):
        sizes.append(size)
        return split(values, size, dim=dim)

    monkeypatch.setattr(torch, "split", noted)
    for chunk in (1, 14, 43):
        points._nearest_by_matrix(cube(0, 2, 9), cube(1, 2, 7), chunk)
    assert sizes == [1, 1, 3]  # rows of 2 * 7 distances


@pytest.mark.parametrize("size", [1e-3, 30.0])
@pytest.mark.parametrize("p", [1, 2])
def test_sinkhorn_is_in_the_unit_of_the_points(size, p):
    x, y = cube(0, 1, 20, torch.float64), cube(1, 1, 20, torch.float64)
    expected = transport.sinkhorn_cost(x, y, p, blur=0.05, steps=50) * size**p
    assert_close(transport.sinkhorn_cost(size * x, size * y, p, blur=0.05, steps=50), expected)


def test_clouds_of_mapped_batches_are_folded():
    x, y = torch.rand(3, 2, 9, 3), torch.rand(2, 7, 3)
    folded = points.fold_vmap(3, (0, None), x, y)
    assert_close(folded[0], x.reshape(6, 9, 3))
    assert_close(folded[1], torch.cat([y] * 3))
    assert_close(points.fold_vmap(3, (1,), x.movedim(0, 1))[0], x.reshape(6, 9, 3))
