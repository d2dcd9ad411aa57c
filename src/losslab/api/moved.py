"""Comparisons whose folder was copied or moved: their runs read the data in it."""

import json
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from losslab.analysis.search import FINAL, SEARCH
from losslab.api.samples import FILES
from losslab.config.overrides import written
from losslab.runs.files import read_json
from losslab.runs.folder import PLAN_FILE, SWEEP_FILE, RunFolder, job_name, replace_file


def find_data(folder: Path) -> None:
    """Name the file in a folder as the data of its runs, if they were given in Python.

    Raises:
        FileError: if a file of the folder is damaged.
    """
    for path in (folder / name for name in FILES if (folder / name).is_file()):
        now = f"data.path={written(path.resolve())}"
        for sweep in (folder, folder / SEARCH, folder / FINAL):
            if _replace(sweep / SWEEP_FILE, now):
                for config in sweep.glob(f"*/*/{RunFolder(Path()).config}"):
                    _find_data_of_run(RunFolder(config.parent), path.resolve(), now)
        _replace(folder / PLAN_FILE, now)


def _replace(path: Path, now: str) -> bool:
    """Replace all options of a file that set ``data.path``; return whether one was another."""
    if not path.is_file():
        return False
    content = read_json(path)
    found = {each for each in _texts(content) if each.startswith("data.path=")} - {now}
    if found:
        replace_file(path, json.dumps(_replaced(content, now)).encode())
    return bool(found)


def _find_data_of_run(run: RunFolder, path: Path, now: str) -> None:
    config: Any = OmegaConf.load(run.config)
    config.data.path = str(path)
    config.overrides = _replaced(OmegaConf.to_container(config.overrides), now)
    replace_file(run.config, OmegaConf.to_yaml(config).encode())
    if run.record.is_file():
        record = read_json(run.record) | {"cell": job_name(config.overrides)}
        replace_file(run.record, json.dumps(record, indent=2).encode())


def _texts(content: Any) -> list[str]:
    if isinstance(content, dict | list):
        items = content.values() if isinstance(content, dict) else content
        return [text for item in items for text in _texts(item)]
    return [content] if isinstance(content, str) else []


def _replaced(content: Any, now: str) -> Any:
    """Replace all options of JSON that set ``data.path``."""
    if isinstance(content, dict):
        return {key: _replaced(value, now) for key, value in content.items()}
    if isinstance(content, list):
        return [_replaced(item, now) for item in content]
    return now if isinstance(content, str) and content.startswith("data.path=") else content
