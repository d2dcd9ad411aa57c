"""Inputs that would take all memory or the whole stack are refused in one line."""

import io
import os
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from losslab import cli
from losslab.config.errors import UserError
from losslab.config.expansion import jobs_of
from losslab.config.past import translated
from losslab.data.arrays import read_npz
from losslab.data.images import opened
from losslab.runs.scores import read_scores
from losslab.training import evaluate

RUN = Path(__file__).parents[1] / "past" / "v0_1" / "runs" / "focal"
BOMB = "a0: &a0 [1, 2]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
DEEP = f"a: {'[' * 300}{']' * 300}\n"


@pytest.mark.parametrize("text", [BOMB, DEEP], ids=["aliases", "nesting"])
def test_saved_configs_are_bounded(tmp_path, text):
    run = tmp_path / "run"
    shutil.copytree(RUN, run)
    with (run / "config.yaml").open("a") as file:
        file.write(text)
    began = time.perf_counter()
    for call in (lambda: evaluate(run, ("val",)), lambda: cli.run([f"resume={run}"])):
        with pytest.raises(UserError, match=r"config\.yaml must have at most"):
            call()
    with pytest.raises(ValueError, match="must have at most"):
        translated(yaml.safe_load(text))
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "loss=mse", "seed=range(1000000000)"],
        ["-m", "loss=mse", "seed=range(1000)", "data.seed=range(1000)"],
        ["tune", "loss=mse,mae", "seeds=range(1000000000)"],
    ],
    ids=" ".join,
)
def test_sweeps_are_bounded(arguments, tmp_path, capsys):
    with pytest.raises((UserError, SystemExit)) as error:
        cli.run([*arguments, f"paths.log_dir={tmp_path / 'logs'}"])
    assert "at most 100000 jobs" in f"{error.value}{capsys.readouterr().err}"
    assert not (tmp_path / "logs").exists()


def test_values_nested_too_deeply_are_refused():
    with pytest.raises(UserError, match="malformed override"):
        jobs_of([f"loss.x={'[' * 5000}{']' * 5000}"])


def npz_with(path, shape, content=b""):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("inputs", "targets", "sample", "format"):
            archive.writestr(f"{name}.npy", header.getvalue() + content)
    return path


@pytest.mark.parametrize("shape", [(10**15,), (10**9, 10**9, 10**9), (10**6, 10**6)])
def test_headers_of_arrays_are_bounded(tmp_path, shape):
    npz_with(tmp_path / "scores.npz", shape)
    for read in (lambda: read_npz(tmp_path / "scores.npz"), lambda: read_scores(tmp_path)):
        with pytest.raises(ValueError, match=r"scores\.npz") as error:
            read()
        assert "\n" not in str(error.value)


def test_arrays_larger_than_memory_are_refused(tmp_path, monkeypatch):
    pages = {"SC_PAGE_SIZE": 1024, "SC_PHYS_PAGES": 1024}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    path = npz_with(tmp_path / "a.npz", (10**6,), bytes(8 * 10**6))
    assert path.stat().st_size < 10**5
    with pytest.raises(ValueError, match="does not fit into memory: its arrays take"):
        read_npz(path)


def test_images_are_bounded(tmp_path, monkeypatch):
    Image.new("1", (300, 300)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300 * 100)
    with (
        pytest.raises(ValueError, match=r"a\.png must be a readable image"),
        opened(tmp_path / "a.png"),
    ):
        pass
