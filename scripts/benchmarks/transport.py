"""Sinkhorn iterations compared with geomloss's at the same error of the transport cost."""

import statistics
from collections.abc import Callable
from functools import partial
from itertools import product, starmap
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from benchmarks.page import put
from benchmarks.peers import Call, averaged, peer, sphere
from benchmarks.timing import in_turn, ratio
from losslab import losses

CLOUDS = {64: 8, 256: 2}
"""Pairs of clouds by number of points."""
ERRORS = ((1, 0.01), (2, 0.01), (2, 0.001))
"""Exponents and the errors allowed."""
STEPS = (16, 32, 64, 128, 256, 512, 1024)
BLURS = (0.003, 0.001, 0.0003)
"""Relative to the diameter."""

HEAD = (
    "| points | p | error at most | ours: blur, steps, error, ms "
    "| geomloss: blur, steps, error, ms | geomloss / ours (quartiles) |",
    "|---|---|---|---|---|---|",
)


class Setting(NamedTuple):
    """Options of Sinkhorn iterations; those that remove the bias take twice the time per step."""

    blur: float
    steps: int
    debias: bool = True

    def cost(self) -> int:
        """Return the time relative to a step between the clouds alone."""
        return self.steps * (2 if self.debias else 1)

    def __str__(self) -> str:
        return f"{self.blur}, {self.steps}{'' if self.debias else ' (biased)'}"


def transport(rounds: int, page: Path | None) -> None:
    """Measure value and gradient with the fewest steps that keep within an error.

    The error is the mean of ``|cost / exact cost - 1|`` over pairs of clouds on a sphere.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(*HEAD, sep="\n")
    rows = []
    for (points, clouds), (p, allowed) in product(CLOUDS.items(), ERRORS):
        pair = sphere(clouds, points), sphere(clouds, points)
        exact = losses.EMDLoss(p, "exact", reduction="none")(*pair)
        found = {
            "ours": cheapest(allowed, exact, partial(ours, p), (True,), pair),
            "geomloss": cheapest(allowed, exact, partial(of_geomloss, p), (True, False), pair),
        }
        rows.append(f"| {points:,} | {p} | {allowed:.1%} | {compared(found, pair, rounds)} |")
        print(rows[-1], flush=True)
    if page:
        put(page, "transport", [*HEAD, *rows])


Found = tuple[Setting, float, Call]


def compared(found: dict[str, Found | None], pair: tuple[Tensor, Tensor], rounds: int) -> str:
    """Measure the calls in turn; return settings, errors, times and ratio."""
    calls = {name: averaged(each[2]) for name, each in found.items() if each}
    times = in_turn(calls, *pair, rounds)
    cells = [
        f"{each[0]}, {each[1]:.2%}, {1e3 * statistics.median(times[name]):.1f}" if each else "none"
        for name, each in found.items()
    ]
    both = ratio(times["ours"], times["geomloss"]) if len(calls) == len(found) else "-"
    return " | ".join([*cells, both])


def cheapest(
    allowed: float,
    exact: Tensor,
    side: Callable[[Setting], Call],
    debias: tuple[bool, ...],
    pair: tuple[Tensor, Tensor],
) -> Found | None:
    """Return the setting within the error that takes the least time, its error and its call."""
    for setting in sorted(starmap(Setting, product(BLURS, STEPS, debias)), key=Setting.cost):
        call = side(setting)
        error = (call(*pair) / exact - 1).abs().mean().item()
        if error <= allowed:
            return setting, error, call
    return None


def ours(p: Literal[1, 2], setting: Setting) -> Call:
    """Return our loss."""
    options = {"blur": setting.blur, "steps": setting.steps}
    return losses.EMDLoss(p, "sinkhorn", **options, reduction="none")


def of_geomloss(p: int, setting: Setting) -> Call:
    """Return the loss of geomloss, whose cost for p=2 is half the square."""
    loss = peer("geomloss", "geomloss.SamplesLoss")
    scaling = setting.blur ** (1 / setting.steps)
    options = {"scaling": scaling, "debias": setting.debias, "backend": "tensorized"}

    def call(x: Tensor, y: Tensor) -> Tensor:
        both = torch.cat([x, y], dim=1).detach().flatten(0, 1)
        diameter = (both.amax(dim=0) - both.amin(dim=0)).norm().item()  # as it is computed there
        value: Tensor = loss("sinkhorn", p=p, blur=setting.blur * diameter, **options)(x, y)
        return p * value

    return call
