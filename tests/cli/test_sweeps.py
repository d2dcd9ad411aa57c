"""Sweeps as processes: a folder a job, failures that stop nobody else, and going on."""

import json

import pytest

pytestmark = pytest.mark.slow

LINE = ["data=regression", "data.outliers=0.1", "callbacks=quiet"]


def test_a_sweep_leaves_a_folder_a_cell_and_a_table(command):
    alone = "hydra/launcher=basic"
    outcome = command("-m", "loss=mse,mae,huber", *LINE, "seed=range(2)", alone)
    assert outcome.code == 0, outcome.err
    records = outcome.records()
    assert len(records) == 6
    for folder, record in records.items():
        assert folder.name == f"seed{record['seed']}"
        assert folder.parent.name.startswith(record["loss"])
        assert record["status"] == "done"
        if record["loss"] == "mse":  # a tenth of the targets 30 too high pull the mean by 3
            assert record["test"]["intercept_error"] > 2
        else:
            assert record["test"]["slope_error"] < 0.1
            assert record["test"]["intercept_error"] < 0.3
    for words in ("mse", "mae", "huber", "intercept_error", "tensorboard --logdir"):
        assert words in outcome.out
    lines = [line.partition(": test ")[0] for line in outcome.err.splitlines()]
    lines = [line for line in lines if not line.startswith("sweep: ")]  # of a slow machine
    names = [f"{loss}/seed{seed}" for loss in ("mse", "mae", "huber") for seed in range(2)]
    assert lines == [f"job {place} of 6: {name}" for place, name in enumerate(names, 1)]


def test_a_failed_cell_stops_nobody_and_is_run_again(command):
    arguments = ["loss=mse", "optimizer=sgd", "optimizer.lr=0.01,1e30", "trainer.max_epochs=2"]
    outcome = command("-m", *arguments, "seed=0,1", "callbacks=quiet")
    assert outcome.code == 1
    statuses = [record["status"] for record in outcome.records().values()]
    assert sorted(statuses) == ["done", "done", "failed", "failed"]
    assert outcome.err.count("failed: mse") == 2
    [sweep] = (outcome.logs / "sweeps").iterdir()
    done = {
        folder: (folder / "record.json").read_bytes()
        for folder, record in outcome.records().items()
        if record["status"] == "done"
    }
    victim = next(iter(done))
    (victim / "record.json").unlink()
    again = command(f"resume={sweep}")
    assert again.code == 1
    records = again.records()
    assert len(records) == 4
    assert json.loads((victim / "record.json").read_text())["status"] == "done"
    untouched = [folder for folder in done if folder != victim]
    assert all((folder / "record.json").read_bytes() == done[folder] for folder in untouched)


def test_a_sweep_grows_by_seeds_and_losses(command):
    line = ["trainer.max_epochs=1", "callbacks=quiet"]
    outcome = command("-m", "loss=mse,huber", *line, "seed=range(2)")
    [sweep] = (outcome.logs / "sweeps").iterdir()
    done = {folder: (folder / "record.json").read_bytes() for folder in outcome.records()}
    seeds = command(f"resume={sweep}", "seed=range(3)")
    assert seeds.code == 0, seeds.err
    assert len(seeds.records()) == 6
    losses = command(f"resume={sweep}", "loss=mse,mae")
    assert losses.code == 0, losses.err
    assert len(losses.records()) == 9
    whole = command("-m", "loss=mse,huber", *line, "seed=range(3)", f"resume={sweep}")
    assert whole.code == 0, whole.err  # the whole command again means the same
    again = command("-m", f"resume={sweep}")  # -m by habit: nothing else is meant than without
    assert again.code == 0, again.err
    records = again.records()
    assert sorted((record["loss"], record["seed"]) for record in records.values()) == [
        (loss, seed) for loss in ("huber", "mae", "mse") for seed in range(3)
    ]
    assert all((folder / "record.json").read_bytes() == before for folder, before in done.items())
    assert "mae" in again.out
    saved = json.loads((sweep / "sweep.json").read_text())
    assert saved["version"] == 2
    typed = [" ".join(each["typed"]) for each in saved["commands"]]
    assert len(typed) == 5
    for words, given in zip(("range(2)", "range(3)", "loss=mse,mae"), typed, strict=False):
        assert words in given
    assert len(saved["jobs"]) == 9


def test_what_conflicts_with_a_sweep_changes_nothing(command):
    outcome = command("-m", "loss=mse,huber", "trainer.max_epochs=1", "callbacks=quiet")
    [sweep] = (outcome.logs / "sweeps").iterdir()
    before = {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()}
    for given in ("trainer.max_epochs=2", "loss=mse,focal", "optimizer.lr=0.1"):
        refused = command(f"resume={sweep}", given)
        assert refused.code == 2
        [line] = refused.err.splitlines()
        assert line.startswith("error: ")
    assert {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()} == before


def test_compare_reads_the_same_table_from_files(command):
    outcome = command("-m", "loss=mse,mae", *LINE, "trainer.max_epochs=1", "seed=0,1")
    table = command(str(outcome.logs), script="scripts/compare.py")
    assert table.code == 0, table.err
    assert "mae" in table.out


def test_a_sweep_in_lockstep_hands_over_what_cannot_be_stacked_and_is_resumed(command):
    arguments = ["loss=cross_entropy,hinge", "seed=0,1", "model=mlp", "trainer.max_epochs=1"]
    outcome = command("-m", "hydra/launcher=lockstep", *arguments, "callbacks=quiet")
    assert outcome.code == 0, outcome.err
    records = outcome.records()
    assert [record["status"] for record in records.values()] == ["done"] * 4
    assert "Training 4 jobs in lockstep" in outcome.out + outcome.err
    told = [line for line in outcome.err.splitlines() if " done, " in line]
    assert sum(int(line.split()[0]) for line in told) == 4
    assert all(" in lockstep (" in line for line in told)
    [sweep] = (outcome.logs / "sweeps").iterdir()
    victim = next(iter(records))
    (victim / "record.json").unlink()
    again = command(f"resume={sweep}")  # one job alone is no stack
    assert again.code == 0, again.err
    assert "Not trained in lockstep because no other job" in again.out + again.err
    assert again.records()[victim]["test"] == pytest.approx(records[victim]["test"], rel=1e-4)


AUTO = ["data=regression", "data.outliers=0.1", "trainer.max_epochs=4", "hydra/launcher=lockstep"]


def test_seeds_are_added_until_every_pair_is_decided(command):
    """The line of mse is pulled up by outliers; mae and huber differ little, so they go on."""
    outcome = command(
        "-m", "loss=mse,mae,huber", *AUTO, "callbacks=quiet", "seeds=auto", "looks=[8,9]"
    )
    assert outcome.code == 0, outcome.err
    counts = {}
    for record in outcome.records().values():
        counts[record["loss"]] = counts.get(record["loss"], 0) + 1
    assert counts == {"mse": 8, "mae": 9, "huber": 9}
    assert "look 1 of 2, 8 seeds: " in outcome.out
    assert "1 of 3 pairs undecided" in outcome.out
    assert "decided after 8 seeds" in outcome.out
    [sweep] = (outcome.logs / "sweeps").iterdir()
    saved = json.loads((sweep / "looks.json").read_text())
    assert saved == {"version": 1, "planned": [8, 9], "looks": [list(range(8)), list(range(9))]}

    [victim] = sweep.glob("huber*/seed8")
    done = {folder: (folder / "record.json").read_bytes() for folder in outcome.records()}
    (victim / "record.json").unlink()
    again = command(f"resume={sweep}")
    assert again.code == 0, again.err
    assert len(again.records()) == 26
    others = {folder: text for folder, text in done.items() if folder != victim}
    assert all((folder / "record.json").read_bytes() == others[folder] for folder in others)
    assert json.loads((sweep / "looks.json").read_text()) == saved
    refused = command(f"resume={sweep}", "seed=range(20)")
    assert refused.code == 2
    assert "seeds=auto" in refused.err


def test_a_sweep_that_is_extended_pays_for_its_first_comparison(command):
    outcome = command("-m", "loss=mse,mae", *AUTO, "callbacks=quiet", "seed=range(3)")
    [sweep] = (outcome.logs / "sweeps").iterdir()
    (sweep / "looks.json").unlink()  # as version 0.1 left it
    grown = command(f"resume={sweep}", "seed=range(5)")
    assert grown.code == 0, grown.err
    assert "2 looks: " in grown.out
    saved = json.loads((sweep / "looks.json").read_text())
    assert saved["looks"] == [[0, 1, 2], [0, 1, 2, 3, 4]]
