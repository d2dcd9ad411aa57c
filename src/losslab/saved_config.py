"""Read the config of a run to resume or evaluate it. Nothing imports torch."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from losslab.config.errors import UserError
from losslab.config.trust import Source, admit, require_harmless
from losslab.runs.check import never_recorded
from losslab.runs.config_file import read_config
from losslab.runs.files import FileError
from losslab.runs.folder import find_runs, is_run
from losslab.runs.packing import unpack
from losslab.runs.record import read_record


def saved_config(folder: Path, *, trust: bool = False) -> DictConfig:
    """Read the resolved config of a run, whose files are written to disk if it is packed.

    Args:
        folder: the run's folder.
        trust: whether what the config names may be run, whatever it is.

    Raises:
        UserError: if the folder is not a run folder, if its record or config is damaged, or if its
            config names code that is not known.
    """
    if not (is_run(folder) or never_recorded(folder)):
        runs = find_runs(folder)
        holds = f": it holds runs, such as {runs[0]}" if runs else ""
        raise UserError(f"{folder} is not the folder of a run{holds}")
    unpack(folder)
    if not never_recorded(folder):
        read_record(folder)
    try:
        config = OmegaConf.create(read_config(folder))
    except FileNotFoundError as error:
        raise FileError(Path(error.filename), "is missing") from error
    _require_environment(config, folder)
    code = config.get("code_dirs", {})
    admit(config.get("config_dirs", []), code, trust=trust)
    if not trust:
        require_harmless([config], Source(folder, code))
    return config


def _require_environment(config: DictConfig, folder: Path) -> None:
    """Check that the environment variables of a saved config are set, but for its loggers."""
    of_run = OmegaConf.masked_copy(config, [str(key) for key in config if key != "logger"])
    try:
        OmegaConf.to_container(of_run, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{folder / 'config.yaml'}: {str(error).splitlines()[0]}") from error
