"""Where a process stands among those that torchrun, srun or losslab started together."""

import pytest

from losslab.ranks.place import enter, here, leave, place_in, trainer_options
from two_ranks import TORCHRUN

SRUN = {  # of Slurm 22.05: srun -N 2 --ntasks-per-node=2
    "SLURM_JOB_ID": "1234",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
}


def test_torchrun():
    place = place_in(TORCHRUN)
    assert (place.rank, place.local_rank, place.node) == (3, 1, 1)
    assert (place.size, place.per_node, place.nodes) == (4, 2, 2)
    assert (place.address, place.port, place.has_store) == ("node0", 29500, True)


def test_srun():
    place = place_in(SRUN)
    assert (place.rank, place.local_rank, place.node) == (3, 1, 1)
    assert (place.size, place.per_node, place.nodes) == (4, 2, 2)
    assert (place.address, place.has_store) == ("gpu07", False)
    other_step = place_in(SRUN | {"SLURM_STEP_ID": "1"})
    assert other_step.port != place.port


def test_srun_on_one_node_needs_no_network():
    alone = SRUN | {"SLURM_STEP_NUM_NODES": "1", "SLURM_STEP_NODELIST": "gpu07"}
    assert place_in(alone).address == "127.0.0.1"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"RANK": "0", "WORLD_SIZE": "2"},
        {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"},
        SRUN | {"SLURM_STEP_NUM_TASKS": "1"},
        TORCHRUN | {"WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"},
    ],
    ids=["none", "variables of others", "sbatch without srun", "srun -n 1", "torchrun of one"],
)
def test_a_process_of_its_own(environment):
    assert place_in(environment) is None


def test_a_trainer_has_the_devices_and_nodes_that_were_started(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "")
    monkeypatch.setenv("NODE_RANK", "")
    assert trainer_options() == {}
    enter(place_in(TORCHRUN))
    try:
        assert trainer_options() == {"devices": 2, "num_nodes": 2}
    finally:
        leave()
    assert here() is None
