"""The package as others install it: a wheel in an empty folder, and the clone's own install."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from losslab.config import groups

ROOT = Path(__file__).parents[2]
QUICK = ("trainer.max_epochs=1", "trainer=cpu", "callbacks=quiet")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return a folder into which the wheel has been installed, without its dependencies."""
    if int(metadata.version("setuptools").partition(".")[0]) < 77:
        pytest.skip("building the wheel offline needs setuptools >= 77")
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    source = folder / "source"  # building leaves its own folders beside the sources
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "src", "conf", "*.toml", "*.py", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in [*(n for n in listed if not n.startswith(("tests/", "docs/"))), "LICENSE"]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    built = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)]
    subprocess.run([*pip, *built], check=True)
    [wheel] = folder.glob("*.whl")
    target = folder / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True)
    return target


def losslab(site, folder, *arguments):
    """Run ``python -m losslab`` of the wheel in a folder, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "losslab", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_holds_configs_types_and_licence(site):
    assert (site / "losslab" / "conf" / "loss" / "focal.yaml").is_file()
    assert (site / "losslab" / "conf" / "data" / "_split.yaml").is_file()
    assert (site / "losslab" / "py.typed").is_file()
    assert list(site.glob("losslab-*.dist-info/licenses/LICENSE"))
    assert (site / "bin" / "losslab").is_file()


@pytest.mark.slow
def test_the_wheel_trains_sweeps_and_compares_in_an_empty_folder(site, tmp_path):
    where = "import losslab.config.groups as g; print(g.CONF)"
    found = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert Path(found) == site / "losslab" / "conf"
    listed = losslab(site, tmp_path, "--help")
    assert all(f"loss={name}" in listed for name in groups.names("loss"))
    assert "focal on digits, seed 0" in losslab(site, tmp_path, "loss=focal", *QUICK)
    sweep = ["-m", "loss=mse,mae", "seed=0,1", *QUICK, "hydra/launcher=lockstep"]
    assert "sweep folder: logs/sweeps/" in losslab(site, tmp_path, *sweep)
    assert "report: " in losslab(site, tmp_path, "compare", "logs/sweeps")


def test_the_clone_reads_its_own_configs():
    assert (groups.CONF / "loss" / "focal.yaml").samefile(ROOT / "conf" / "loss" / "focal.yaml")
