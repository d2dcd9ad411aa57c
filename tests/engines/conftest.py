"""A Slurm of one node on loopback and a Ray of two nodes, which the tests start."""

import ctypes
import getpass
import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

SBIN = f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"
CONF = """
ClusterName=losslab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=60 PriorityTier=1
PartitionName=grace Nodes=ALL MaxTime=60 PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=ALL MaxTime=60 PriorityTier=2
"""


@pytest.fixture(scope="session")
def slurm():
    """Start Slurm as this user, and let this process and its children use it."""
    pytest.importorskip("submitit", reason="needs the extra slurm")
    for daemon in ("munged", "slurmctld", "slurmd"):
        if shutil.which(daemon, path=SBIN) is None:
            pytest.skip(f"needs {daemon}: apt-get install slurm-wlm munge")
    with tempfile.TemporaryDirectory(prefix="slurm") as name, ExitStack() as daemons:
        folder = Path(name)
        _configure(folder)
        munged = ["munged", "--foreground", "--force", "--num-threads=2"]
        for option, file in (("key-file", "key"), ("socket", "munge.socket"), ("pid-file", "pid")):
            munged.append(f"--{option}={folder}/{file}")
        munged += [f"--log-file={folder}/munge.log", f"--seed-file={folder}/seed"]
        daemons.enter_context(_running(munged, folder))
        daemons.enter_context(_running(["slurmctld", "-D", "-c"], folder))
        daemons.enter_context(_running(["slurmd", "-D"], folder))
        environment = daemons.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("SLURM_CONF", f"{folder}/slurm.conf")
        daemons.callback(_cancel_all)
        _wait_for_node(folder)
        yield folder


def _configure(folder):
    for part in ("state", "spool"):
        (folder / part).mkdir()
    (folder / "key").write_bytes(secrets.token_bytes(128))
    (folder / "key").chmod(0o400)
    controller, node = _free_ports(2)
    text = CONF.format(
        folder=folder,
        host=platform.node().partition(".")[0],
        user=getpass.getuser(),
        controller=controller,
        node=node,
    )
    (folder / "slurm.conf").write_text(text)


def _free_ports(number):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def _running(line, folder):
    """Run a daemon, which ends with the block, or with this process."""
    environment = {**os.environ, "PATH": SBIN, "SLURM_CONF": f"{folder}/slurm.conf"}
    with (folder / f"{line[0]}.out").open("wb") as output:
        process = subprocess.Popen(
            line,
            env=environment,
            stdout=output,
            stderr=output,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 (it calls the system only)
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_with_parent():
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _cancel_all():
    """End the jobs, whose processes would outlive the daemons."""
    subprocess.run(["scancel", "--full", f"--user={getpass.getuser()}"], check=False)
    subprocess.run(["scancel", f"--user={getpass.getuser()}"], check=False)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        left = subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=False)
        if not left.stdout.strip():
            return
        time.sleep(0.2)


def _wait_for_node(folder):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        shown = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"], capture_output=True, text=True, check=False
        )
        if "idle" in shown.stdout:
            return
        time.sleep(0.2)
    logs = "".join((folder / f"{each}.out").read_text()[-500:] for each in ("slurmctld", "slurmd"))
    pytest.fail(f"Slurm did not start: {shown.stdout}{shown.stderr}{logs}")


@pytest.fixture(scope="module")
def ray_cluster():
    """Start a Ray of two nodes with a core each; yield its address."""
    pytest.importorskip("ray", reason="needs the extra ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
        cluster = Cluster(initialize_head=True, head_node_args=node)
        try:
            cluster.add_node(**node)
            yield cluster
        finally:
            cluster.shutdown()
