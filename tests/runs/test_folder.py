from pathlib import Path

import pytest

from losslab.runs.folder import (
    NAME_LENGTH,
    RunFolder,
    file_name,
    find_runs,
    is_run,
    is_sweep,
    job_name,
    replace_file,
)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["loss=mse"], "mse"),
        (["loss=mse", "data.outliers=0.1", "seed=3"], "mse,data.outliers=0.1"),
        (
            ["data=regression", "loss=mse", "optimizer.lr=1e-3"],
            "mse,data=regression,optimizer.lr=1e-3",
        ),
        (["b=1", "loss=mse", "a=2"], "mse,b=1,a=2"),
        (
            ["loss=mse", "paths.log_dir=/x", "paths=cluster", "hydra.sweep.dir=x", "threads=1"],
            "mse",
        ),
        (["loss=mse", "hydra/launcher=joblib", "resume=logs/x"], "mse"),
        (["loss=mse", "+trainer.limit=3", "++x.y=1"], "mse,trainer.limit=3,x.y=1"),
        (["loss='mse'", "+data@data=x"], "mse,data=x"),
        (["loss=mse", "seeds=4", "lossy=2", "path=1"], "mse,seeds=4,lossy=2,path=1"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_cell_name(overrides: list[str], expected: str) -> None:
    assert job_name(overrides) == expected


def test_cell_name_needs_a_loss() -> None:
    with pytest.raises(ValueError, match=r"overrides must name the loss.*seed=3"):
        job_name(["seed=3"])


UNSAFE = ["loss.a=[1,2]", "loss.a=[1/2]", "loss.a=(1 2)", "loss.a={1:2}", "loss.a=ü", "a=../../b"]


@pytest.mark.parametrize("override", UNSAFE)
def test_cell_name_is_one_safe_folder(override: str, tmp_path: Path) -> None:
    name = job_name(["loss=mse", override])
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789,.=-~_")
    (tmp_path / name).mkdir()
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_cells_that_look_the_same_have_different_names() -> None:
    long = "x" * 200
    cells = [["loss=mse", override] for override in [*UNSAFE, f"a={long}1", f"a={long}2"]]
    names = [job_name(cell) for cell in cells]
    assert len(set(names)) == len(names)
    assert names == [job_name(cell) for cell in cells]  # no salt of the process in the hash
    assert max(map(len, names)) == NAME_LENGTH


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    return path


def test_runs_and_sweeps_are_found(tmp_path: Path) -> None:
    sweep = tmp_path / "sweeps" / "now"
    for seed in (10, 2, 0):
        touch(sweep / "mse" / f"seed{seed}" / "record.json")
    single = touch(tmp_path / "runs" / "digits" / "focal" / "now-seed0" / "record.json").parent
    seeds = [sweep / "mse" / f"seed{seed}" for seed in (0, 2, 10)]
    assert find_runs(tmp_path) == [single, *seeds]
    assert find_runs(single) == [single]
    assert is_run(single)
    assert not is_run(sweep)
    assert [is_sweep(path) for path in (sweep, single, sweep / "mse", single.parent, tmp_path)] == [
        True,
        False,
        False,
        False,
        False,
    ]


def test_a_sweep_without_runs_is_known_by_hydras_file(tmp_path: Path) -> None:
    assert not is_sweep(tmp_path)
    touch(tmp_path / "multirun.yaml")
    assert is_sweep(tmp_path)
    assert find_runs(tmp_path) == []


def test_run_folder_names(tmp_path: Path) -> None:
    files = RunFolder(tmp_path)
    names = [files.config, files.record, files.metrics, files.log, files.best, files.last]
    assert [name.relative_to(tmp_path).as_posix() for name in [*names, files.figures]] == [
        "config.yaml",
        "record.json",
        "metrics.csv",
        "run.log",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "figures",
    ]


def test_replace_file_leaves_the_old_one_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"
    replace_file(path, b"old")

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"


def test_names_that_are_cut_or_made_safe_differ():
    long = [f"loss.option{place}={place}" for place in range(30)]
    names = {file_name([*long, f"a={value}"], "-") for value in range(3)}
    assert {len(name) for name in names} == {NAME_LENGTH}
    assert len({*names, file_name(["a/b"]), file_name(["a b"]), file_name(["a-b"])}) == 6
    assert file_name([".hidden"]).startswith("hidden~")
