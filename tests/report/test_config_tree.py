import io
from typing import Any

import pytest
from rich.console import Console

from kinds_of_run import LINE, config_of
from losslab.cli import single
from losslab.config.command import parse
from losslab.report.config_tree import config_tree


def text_of(tree: Any) -> str:
    file = io.StringIO()
    Console(file=file, width=100).print(tree)
    return file.getvalue()


def test_a_tree_has_the_resolved_config_and_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "swordfish")
    logger = "{_target_: my.Logger, api_key: abc, other: '${oc.env:MY_SECRET}'}"
    text = text_of(config_tree(config_of(*LINE, f"+logger.extra.mine={logger}")))
    lines = [line.strip("│├└─ ") for line in text.splitlines()]
    assert {"config", "loss", "max_epochs: 1", "learning_rate: 0.02", "api_key: '***'"} <= {*lines}
    assert "swordfish" not in text


@pytest.mark.parametrize("asked", [True, False])
def test_the_command_line_prints_it_on_demand(
    asked: bool, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("losslab.cli.check_configs", lambda configs: "")
    monkeypatch.setattr("losslab.cli.run_composed", lambda config, job: 1 / 0)
    arguments = ["loss=mse", f"extras.print_config={str(asked).lower()}"]
    with pytest.raises(ZeroDivisionError):
        single(parse(arguments))
    assert ("_target_: losslab.losses.MSELoss" in capsys.readouterr().out) == asked
