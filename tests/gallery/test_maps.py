"""Maps of the gallery: their plans, pages and lines of the index."""

import pytest

from losslab.analysis.power import needed_seeds
from losslab.config.compose import compose
from losslab.config.jobs import finished_config
from losslab.gallery import maps
from losslab.gallery import run as gallery
from losslab.gallery.index import IndexEntry, read_index, write_index
from losslab.map_plan import parse_map

LOSSES = ("mae", "mse")


@pytest.fixture
def found(mapped):
    return mapped(LOSSES, lambda loss, x, y, seed: 2 + 0.01 * seed + (loss == "mae") * x, 8)


def test_the_index_has_every_map():
    assert sorted(maps.MAPS) == sorted(path.stem for path in maps.FOLDER.glob("*.yaml"))
    assert not set(maps.MAPS) & set(gallery.ORDER)


@pytest.mark.parametrize("name", maps.MAPS)
def test_a_plan_has_seeds_enough_and_says_what_is_expected(name):
    planned = maps.read_planned_map(name)
    saved = parse_map([f"experiment=maps/{name}"]).saved
    assert len(saved.seeds) >= needed_seeds(saved.comparisons)
    assert min(saved.seeds) >= 100  # no seed of the claims, whose results were known
    assert "Expected, written before these runs: " in planned.why
    assert f"losslab map experiment=maps/{name}" in (maps.FOLDER / f"{name}.yaml").read_text()
    config = compose([f"experiment=maps/{name}", f"loss={saved.losses[0]}"])
    assert "map" not in finished_config(config, config.hydra)


def test_the_page_of_a_map(found, tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "_found", lambda folder: found)
    planned = maps.PlannedMap("lines", "Which is best", "Because it is a plan.", {})
    page, said = maps.write_map_page(planned, tmp_path / "runs", tmp_path)
    text = page.read_text()
    assert text.startswith(f"# Which is best\n\n**{said}**")
    assert "\nBecause it is a plan.\n" in text
    assert "](images/lines.png)" in text
    assert (tmp_path / "images" / "lines.png").stat().st_size < 150_000
    assert "mse is the best from outliers=0.1 at every lr; undecided: 2 of 6 cells" in said


def test_a_line_of_the_index_is_read_back(found, tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "_found", lambda folder: found)
    entry = maps.map_entry(maps.PlannedMap("lines", "Which is best", "", {}), tmp_path)
    assert entry.runs == 6 * 2 * 8
    index = write_index([], tmp_path, [entry, IndexEntry("other", "Other")])
    assert "## Maps" in index.read_text()
    assert "| Other | not run yet |" in index.read_text()
    assert read_index(tmp_path)["lines"].conclusion == entry.conclusion


def test_a_map_without_runs_has_no_page(tmp_path, capsys):
    planned = maps.read_planned_map("outliers_samples")
    assert gallery._make_map(planned, tmp_path, tmp_path, jobs=0) == 1
    assert "cannot write the page of outliers_samples: no runs" in capsys.readouterr().err
    assert [entry.conclusion for entry in gallery.map_entries(tmp_path, tmp_path)] == [""] * 3


def test_a_map_is_made_once_and_then_resumed(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(maps, "run_map", lambda given: commands.append(given) or 0)
    planned = maps.read_planned_map("outliers_samples")
    folder = gallery.map_folder(planned, tmp_path)
    assert maps.make_map(planned, folder, jobs=2) == 0
    folder.mkdir()
    (folder / "map.json").touch()
    assert maps.make_map(planned, folder, jobs=2) == 0
    assert commands == [
        [
            "experiment=maps/outliers_samples",
            f"hydra.sweep.dir={folder}",
            "hydra.launcher.workers=2",
        ],
        [f"resume={folder}"],
    ]
