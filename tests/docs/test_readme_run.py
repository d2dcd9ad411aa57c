"""The table of the first run in README.md."""

import re
from pathlib import Path

import pytest

from losslab.config.jobs import compose_jobs
from losslab.training import train

README = Path(__file__).parents[2] / "README.md"
ROW = re.compile(r"^ (\w+) +([\d.]+) +([\d.]+) ", re.MULTILINE)


def test_it_is_that_of_todays_run(tmp_path):
    printed = README.read_text().partition("focal on digits, seed 0")[2].partition("best epoch")[0]
    written = {name: (float(val), float(test)) for name, val, test in ROW.findall(printed)}
    [job] = compose_jobs([["loss=focal", "trainer=cpu", "logger=none"]])
    record = train(job.config, tmp_path)
    found = {
        name: (record["best"]["metrics"][name], value) for name, value in record["test"].items()
    }
    found = {name: values for name, values in found.items() if not name.startswith("ref/")}
    assert written.keys() == found.keys()
    for name, values in written.items():
        # other processors round differently, which training amplifies
        assert values == pytest.approx(found[name], abs=0.01), name
