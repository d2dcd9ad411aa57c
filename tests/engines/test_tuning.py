"""A tuning that one engine searches and another one ends."""

import pytest

from losslab import cli
from losslab import tuning as tunings
from losslab.engines.launched import read_launched
from losslab.runs.folder import find_runs
from losslab.runs.record import read_record

pytestmark = pytest.mark.slow

TUNING = ["loss=mse,huber", "protocol=tuned", "budget=2", "tuning_seeds=1000", "seeds=0,1"]
QUICK = ["data=diabetes", "trainer.max_epochs=1", "trainer=cpu", "logger.events=false"]


def statuses(folder):
    return [read_record(run)["status"] for run in find_runs(folder)]


def test_a_tuning_of_slurm_goes_on_with_ray(slurm, ray_cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tunings, "_report", lambda *given: 0)

    def interrupted(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(tunings, "final_command", interrupted)
        with pytest.raises(SystemExit):
            cli.run(["tune", *TUNING, *QUICK, "hydra/launcher=slurm", "hydra.launcher.max_jobs=2"])
    [folder] = (tmp_path / "logs" / "tuning").iterdir()
    plan = (folder / "tuning.json").read_bytes()
    launched = read_launched(folder / "search")
    assert (launched.engine, len(launched.units)) == ("slurm", 2)
    assert statuses(folder / "search") == ["done"] * 4

    address = f"hydra.launcher.address={ray_cluster.address}"
    assert cli.run(["tune", f"resume={folder}", "hydra/launcher=ray", address]) == 0
    assert read_launched(folder / "final").engine == "ray"
    assert statuses(folder / "final") == ["done"] * 4
    assert (folder / "tuning.json").read_bytes() == plan
