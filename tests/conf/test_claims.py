"""Every claim of the gallery composes, and has the seeds that its planned comparisons need."""

import pytest

from losslab.config import groups
from losslab.config.command import parse
from losslab.config.compose import compose
from losslab.config.jobs import finished_config
from losslab.gallery import run as gallery
from losslab.gallery.claim import NOT_A_ROW
from losslab.gallery.rows import SHARES, TRAIN_SAMPLES
from losslab.metrics.labels import METRICS

NAMES = [path.stem for path in sorted(gallery.CLAIMS.glob("*.yaml"))]


def jobs_of(name):
    command = parse(["-m", f"experiment=claims/{name}"])
    assert command.jobs is not None
    return [[*command.overrides, *job] for job in command.jobs]


def seedless(job):
    return tuple(each for each in job if not each.startswith(("seed=", "callbacks=")))


def test_the_index_has_every_claim():
    assert sorted(gallery.ORDER) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_composes_and_has_seeds_enough(name):
    claim = gallery.known_claim(name)
    seeds = {}
    for job in jobs_of(name):
        [seed] = [each for each in job if each.startswith("seed=")]
        seeds.setdefault(seedless(job), set()).add(seed)
    assert min(map(len, seeds.values())) >= claim.needed
    # jobs that differ in numbers alone compose alike
    for job in {tuple(each.rstrip("0123456789.") for each in job): job for job in seeds}.values():
        config = compose(list(job))
        assert config.hydra.runtime.choices.experiment == f"claims/{name}"
        finished = finished_config(config, config.hydra)
        assert not {"sweep", "claim"} & set(finished)


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_says_its_command_and_plans_with_cells_that_it_has(name):
    claim = gallery.known_claim(name)
    text = (groups.CONF / "experiment" / "claims" / f"{name}.yaml").read_text()
    assert claim.command in text
    swept = " ".join(claim.sweep)
    for planned in claim.preregistered:
        for picked in (planned.row, planned.than):
            keys = dict(picked) if isinstance(picked, dict) else {}
            if "trend" in keys:
                keys = {keys["trend"]: ..., **keys.get("of", {})}
            shares = {each for each in SHARES if each in swept}
            keys = keys.keys() - NOT_A_ROW - ({TRAIN_SAMPLES} if shares else set())
            assert all(f"{key}=" in swept for key in keys), picked


def test_shown_metrics_have_a_name():
    from losslab.gallery.rows import COMPARISONS, MEASURES
    from losslab.metrics.labels import metric

    for name in NAMES:
        for shown in gallery.known_claim(name).columns:
            computed = shown in MEASURES or shown in COMPARISONS
            assert shown in METRICS or computed or metric(shown).label != shown


def test_the_command_line_replaces_what_an_experiment_sweeps():
    command = parse(["-m", "experiment=claims/outliers", "loss=mse,mae"])
    assert command.jobs is None


def test_an_experiment_lists_components_of_losses_as_they_are_typed(monkeypatch):
    line = "loss=detection loss.classification=focal loss.classification.gamma=1,2"
    monkeypatch.setattr(groups, "node", with_sweep(line, groups.node))
    command = parse(["-m", "experiment=claims/outliers"])
    name = "++loss.of.classification.loss=focal"
    options = [f"++loss.of.classification.gamma={gamma}" for gamma in (1, 2)]
    assert command.jobs == [["loss=detection", name, option] for option in options]


def with_sweep(line, node):
    """Let experiments list this line in place of their own."""
    return lambda group, name: {"sweep": [line]} if group == "experiment" else node(group, name)
