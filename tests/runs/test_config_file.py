"""Saved configs are read as OmegaConf reads them."""

import pytest
from omegaconf import OmegaConf

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
