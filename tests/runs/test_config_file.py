"""Saved configs are read as OmegaConf reads them."""

import pytest
import yaml
from omegaconf import OmegaConf

from losslab.config.past import translated
from losslab.runs.config_file import read_config

KEYS = (
    "seed: 0\ntask: {monitor: mae}\ndata: {}\nmodel: {}\ntrainer: {}\nchoices: {}\noverrides: []\n"
)


@pytest.mark.parametrize("text", ["1e-05", "1.5e+300", ".inf", "2024-01-01", "'1e-05'", "1:30"])
def test_a_value_is_read_as_omegaconf_reads_it(tmp_path, text):
    file = tmp_path / "config.yaml"
    file.write_text(f"{KEYS}loss: {{option: {text}}}\n")
    read, expected = read_config(tmp_path)["loss"]["option"], OmegaConf.load(file).loss.option
    assert (read, type(read)) == (expected, type(expected))


SHARED = """task:
  monitor: mae
data:
  seed: 7
  noise: 0.1
model: {}
trainer: {}
loss: {}
choices: {}
seed: 7
overrides:
- loss=mse
- seed=7
- ++data.noise=1e-1
"""
VARIED = {
    "another seed": SHARED.replace("7", "12"),
    "seed 0": SHARED.replace("7", "0"),
    "a seed of its own": SHARED.replace("data:\n  seed: 7", "data:\n  seed: 3"),
    "a seed that is 0": SHARED.replace("data:\n  seed: 7", "data:\n  seed: 0"),
    "a nested seed": SHARED.replace("model: {}", "model: {}\nextras:\n- depth: 1\n  seed: 7"),
    "a seed in a text": SHARED.replace("model: {}", "model: {}\nnote: |\n  seed: 7\n  seed: 8"),
    "no seed of the data": SHARED.replace("data:\n  seed: 7\n", "data:\n"),
    "quoted overrides": SHARED.replace("- loss=mse", "- \"a='b, c'\"\n- loss=mse"),
    "no overrides": SHARED.partition("overrides:")[0] + "overrides: []\n",
    "an anchor": SHARED.replace("choices: {}", "choices: &a {}\nextras: *a"),
    "another option": SHARED.replace("0.1", "0.2"),
}


@pytest.mark.parametrize("text", [SHARED, *VARIED.values()], ids=["as it is", *VARIED])
def test_configs_that_share_their_parts_are_read_as_if_alone(tmp_path, text):
    for each in (SHARED, text):
        (tmp_path / "config.yaml").write_text(each)
        found = read_config(tmp_path)
    alone = translated(yaml.safe_load(text))
    assert found == alone
    assert list(found) == list(alone)
    assert [*found["data"]] == [*alone["data"]]


def test_runs_of_a_row_share_what_does_not_depend_on_the_seed(tmp_path):
    read = []
    for text in (SHARED, VARIED["another seed"]):
        (tmp_path / "config.yaml").write_text(text)
        read.append(read_config(tmp_path))
    assert read[0]["task"] is read[1]["task"]
    assert (read[0]["data"]["seed"], read[1]["data"]["seed"]) == (7, 12)
