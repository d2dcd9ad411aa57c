"""What is read from a folder runs only code that is known, wherever and however it is named."""

import copy
import dataclasses
import functools
import importlib
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from losslab import cli, tuning
from losslab.config import groups, instantiate, user_code
from losslab.config.errors import UserError
from losslab.config.past import translated
from losslab.config.trust import Source, require_harmless, require_harmless_jobs
from losslab.runs.folder import SWEEP_FILE
from losslab.saved_config import saved_config
from losslab.training import evaluate

PAST = Path(__file__).parents[1] / "past" / "v0_1"
RUN = PAST / "runs" / "focal"

DANGEROUS = """
os.system os.remove os.execv os.path.join posix.system subprocess.run subprocess.Popen
subprocess.check_output builtins.exec builtins.eval builtins.open builtins.__import__ runpy.run_path
importlib.import_module code.InteractiveInterpreter pickle.load pickle.loads marshal.loads
shelve.open shutil.copyfile shutil.rmtree socket.socket webbrowser.open urllib.request.urlopen
urllib.request.urlretrieve ctypes.CDLL logging.config.dictConfig logging.config.fileConfig
logging.FileHandler timeit.timeit pdb.run pip.main pip._internal.cli.main.main
multiprocessing.Process threading.Timer functools.partial functools.reduce operator.methodcaller
hydra.utils.get_method hydra.utils.instantiate hydra.utils.call hydra._internal.utils._locate
omegaconf.OmegaConf.load torch.load torch.save torch.hub.load torch.hub.load_state_dict_from_url
torch.jit.load torch.utils.collect_env.run torch.utils.cpp_extension.load
torch.utils.cpp_extension.load_inline torch._dynamo.config.load_config torch.classes.load_library
torch.ops.load_library torch.compile torch.package.PackageImporter torch.distributed.run.main
torch.nn.Module.load_state_dict torch.nn.functional.boolean_dispatch
torch.nn.functional.torch.load torch.nn.modules.module.torch.hub.load torch.optim.Optimizer.step
torch.nn.functional.handle_torch_function torch.nn.modules.module.warnings.sys.exit
torchvision.models.resnet.partial torchvision.models.feature_extraction.create_feature_extractor
torchvision.datasets.utils.download_url torchvision.models._api.Weights numpy.load numpy.save
numpy.fromfile numpy.f2py.compile pandas.read_pickle pandas.eval pandas.read_csv joblib.load
sympy.sympify sympy.parsing.sympy_parser.parse_expr scipy.io.loadmat sklearn.datasets.fetch_openml
yaml.unsafe_load matplotlib.pyplot.savefig pytorch_lightning.LightningModule.load_from_checkpoint
pytorch_lightning.Trainer.fit pytorch_lightning.cli.LightningCLI pytorch_lightning.core.saving.os
pytorch_lightning.trainer.trainer.os.remove losslab.runs.folder.replace_file
losslab.runs.folder.remove losslab.runs.writer.RunWriter losslab.cli.run losslab.__main__.main
losslab.training.train losslab.sweep.hydra_main losslab.report.write.write_report
losslab.gallery.run.make_runs losslab.data.files.Path
losslab.config.instantiate.build losslab.losses.functional.transport.import_module
antigravity.webbrowser.open
__main__.main
"""
PLACES = (
    *("loss", "loss.inner", "loss.parts.0", "loss.parts.0.deep.1.deeper", "loss._args_.0"),
    *("model", "model.layers.0", "data", "data.transforms.0.transforms.1", "task.definition"),
    *("task.module", "task.metrics.0", "task.reference_losses.bad", "optimizer", "scheduler"),
    *("callbacks.bad", "callbacks.run_writer", "callbacks.figures.writer", "logger.extra.bad"),
    *("trainer", "trainer.strategy", "trainer.callbacks.0", "regularizer", "anything.else"),
)


@functools.cache
def past_config():
    return translated(yaml.safe_load((RUN / "config.yaml").read_text()))


def config_with(place, node, base=None):
    """Return a config, by default a saved one, with a node at a place with indices of lists."""
    config = copy.deepcopy(past_config()) if base is None else dict(base)
    *path, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    current = config
    for part, following in zip(path, [*path, last][1:], strict=True):
        if isinstance(current, list):
            current.extend({} for _ in range(part + 1 - len(current)))
        if not isinstance(current, list) and not isinstance(current.get(part), dict | list):
            current[part] = [] if isinstance(following, int) else {}
        if isinstance(current, list) and isinstance(following, int):
            current[part] = []
        current = current[part]
    if isinstance(current, list):
        current.extend({} for _ in range(last + 1 - len(current)))
    current[last] = node
    return config


def refused(config, folder=RUN, code=None):
    with pytest.raises(UserError) as error:
        require_harmless([OmegaConf.create(config)], Source(folder, code or {}))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture(autouse=True)
def own_path(monkeypatch, tmp_path):
    """Restore the import path and the environment."""
    before = dict(os.environ)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    user_code.use([])
    yield
    os.environ.clear()
    os.environ.update(before)
    user_code.SAVED_CODE.clear()
    for name in ("stranger", "mine"):
        sys.modules.pop(name, None)


@pytest.fixture
def nothing_is_built(monkeypatch):
    def forbidden(*args, **kwargs):
        raise AssertionError("instantiated")

    monkeypatch.setattr(instantiate, "instantiate", forbidden)


@pytest.mark.parametrize("target", DANGEROUS.split())
def test_no_place_of_a_config_names_what_could_do_harm(target, nothing_is_built):
    for place in PLACES:
        config = config_with(place, {"_target_": target}, {"seed": 0})
        assert f"run {target} ({place})" in refused(config), place


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "os.system", "_partial_": True},
        {"_target_": "os.system", "_recursive_": False},
        {"_target_": "${oc.decode:os.system}"},
        {"_target_": "${oc.env:NAMED}"},
        {"_target_": "${seed_of}"},
        "${oc.create:{_target_:os.system}}",
        "${oc.decode:'{_target_:os.system}'}",
        [[{"_target_": "torch.nn.MSELoss", "reduction": {"_target_": "os.system"}}]],
    ],
    ids=str,
)
def test_the_ways_to_name_code(node, monkeypatch, nothing_is_built):
    monkeypatch.setenv("NAMED", "os.system")
    for place in PLACES:
        assert "run os.system" in refused(config_with(place, node, {"seed_of": "os.system"}))


def run_with(folder, place, node):
    """Copy the past run, with a node in its config."""
    shutil.copytree(RUN, folder)
    (folder / "config.yaml").write_text(yaml.safe_dump(config_with(place, node)))
    return folder


@pytest.mark.parametrize("place", PLACES)
def test_neither_evaluating_nor_resuming_runs_it(tmp_path, place, capsys):
    seen = tmp_path / "seen"
    node = {"_target_": "shutil.copyfile", "src": str(RUN / "config.yaml"), "dst": str(seen)}
    run = run_with(tmp_path / "run", place, node)
    for call in (lambda: evaluate(run, ("val",)), lambda: cli.run([f"resume={run}"])):
        with pytest.raises(UserError, match=r"would run shutil\.copyfile .*add trust=true"):
            call()
    assert not seen.exists()


def test_trust_runs_it(tmp_path):
    seen = tmp_path / "seen"
    node = {"_target_": "shutil.copyfile", "src": str(RUN / "config.yaml"), "dst": str(seen)}
    run = run_with(tmp_path / "run", "loss", node)
    with pytest.raises(UserError, match="must be a torch"):
        evaluate(run, ("val",), trust=True)
    assert seen.exists()
    with pytest.raises(UserError, match="add resume=FOLDER"):
        cli.run(["loss=mse", "trust=true"])


# --- sweeps and tunings ---------------------------------------------------------------------------

CALL = "+callbacks.bad={_target_: os.system, command: 'touch seen'}"


def sweep_of(folder, *arguments, **content):
    folder.mkdir(parents=True)
    saved = {"version": 2, "commands": [{"arguments": arguments, "listed": None}], "jobs": []}
    (folder / SWEEP_FILE).write_text(json.dumps(saved | content))
    return folder


@pytest.mark.parametrize(
    "override",
    [
        CALL,
        "+callbacks.bad._target_=os.system",
        "loss._target_=torch.load",
        "+loss.inner={_target_: torch.hub.load}",
        "+loss.inner=[{_target_: numpy.load}]",
        "+loss.inner={a: [{b: {_target_: numpy.load}}]}",
        "model._target_=losslab.runs.folder.replace_file",
        "trainer._target_=os.system",
        "+logger.extra.bad._target_=os.system",
        "optimizer._target_=os.system",
        "+scheduler._target_=os.system",
        "+data.inner._target_=os.system",
        "task.definition._target_=os.system",
        "++loss.a=1,{_target_: os.system}",
    ],
)
def test_no_sweep_or_tuning_runs_it(tmp_path, override, nothing_is_built):
    given = ["loss=mse", override, "paths.log_dir=logs"]
    sweep = sweep_of(tmp_path / "sweep", *given)
    with pytest.raises(UserError, match="would run "):
        cli.run([f"resume={sweep}"])
    if "a=1" in override:  # tunings do not sweep
        return
    plan = tuning.Plan("controlled", 1, ["mse"], [100], [0], given[1:], {"mse": {}}, {"mse": [{}]})
    write_plan(tmp_path / "tuning", plan)
    with pytest.raises(UserError, match="would run "):
        tuning.run_tuning([f"resume={tmp_path / 'tuning'}"])
    key, _, value = override.lstrip("+").partition("=")
    plan = dataclasses.replace(plan, overrides=[], points={"mse": [{f"++{key}": value}]})
    write_plan(tmp_path / "points", plan)
    with pytest.raises(UserError, match="would run "):
        tuning.run_tuning([f"resume={tmp_path / 'points'}"])
    assert not (tmp_path / "seen").exists()


def write_plan(folder, plan):
    folder.mkdir()
    (folder / tuning.PLAN_FILE).write_text(json.dumps(dataclasses.asdict(plan)))


@pytest.mark.parametrize(
    "override",
    [
        "hydra.launcher._target_=os.system",
        "hydra.sweeper._target_=os.system",
        "+hydra.callbacks.bad._target_=os.system",
        "hydra.callbacks={bad: {_target_: os.system}}",
        "+hydra.job.env_set.LD_PRELOAD=/tmp/bad.so",
        "hydra.job_logging.formatters={a: {class: os.system}}",
        "hydra/job_logging=other",
        "hydra/sweeper=basic",
        "hydra/launcher=submitit",
        "+hydra/callbacks=other",
        "hydra.sweep.subdir=../../..",
        "hydra.output_subdir=x",
        "hydra.job.chdir=true",
        "hydra.searchpath=[file:///tmp/stranger/conf]",
        "hydra.searchpath=[file://stranger/conf]",
        "loss=../../tmp/bad",
        "+loss@hydra.callbacks.bad=mse",
    ],
)
def test_saved_commands_do_not_configure_hydra(tmp_path, override):
    sweep = sweep_of(tmp_path / "sweep", "loss=mse", override)
    with pytest.raises(UserError, match="would use "):
        cli.run([f"resume={sweep}"])


def test_saved_commands_have_no_flags(tmp_path):
    for flags in (["--experimental-rerun", "x.pickle"], ["--config-path", "/tmp"]):
        with pytest.raises(UserError, match="would use --"):
            require_harmless_jobs([["loss=mse"]], flags, Source(tmp_path, {}))


def test_what_sweeps_set_of_hydra_is_known(tmp_path):
    given = ["hydra/launcher=lockstep", "hydra.launcher.workers=2", "hydra.sweep.dir=/tmp/old"]
    given += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    conf = f"hydra.searchpath=['file://{tmp_path}/conf']"  # beside it is the current folder
    require_harmless_jobs([["loss=mse", *given, conf]], [], Source(tmp_path / "sweep", {}))


# --- what is known --------------------------------------------------------------------------------


def targets_of_conf():
    found = {}
    for file in sorted(groups.CONF.rglob("*.yaml")):
        if file.parent.name != "sweeper":
            for line in file.read_text().splitlines():
                if line.strip().startswith("_target_:") and "???" not in line:
                    found[line.split()[1]] = None
    return list(found)


OTHERS = """
torch.nn.MSELoss torch.nn.Linear torch.nn.functional.l1_loss torch.optim.RMSprop
torch.optim.lr_scheduler.OneCycleLR losslab.losses.functional.mse losslab.rl.PolicyGradientModule
torchvision.models.resnet18 torchvision.transforms.Compose torchvision.transforms.v2.Normalize
torchvision.ops.sigmoid_focal_loss pytorch_lightning.callbacks.DeviceStatsMonitor
pytorch_lightning.loggers.CSVLogger pytorch_lightning.Trainer
"""


@pytest.mark.parametrize("target", [*targets_of_conf(), *OTHERS.split()])
def test_losslabs_and_torchs_components_need_no_trust(target):
    require_harmless([OmegaConf.create({"a": {"_target_": target}})], Source(RUN, {}))


def test_losses_of_peers_need_no_trust_but_what_else_they_have_does():
    pytest.importorskip("pytorch_metric_learning", reason="pip install losslab[peers]")
    name = "pytorch_metric_learning.losses.TripletMarginLoss"
    require_harmless([OmegaConf.create({"loss": {"_target_": name}})], Source(RUN, {}))
    refused({"loss": {"_target_": "pytorch_metric_learning.utils.common_functions.try_gpu"}})
    refused({"loss": {"_target_": "pytorch_metric_learning.losses.triplet_margin_loss.torch.load"}})


def test_past_runs_need_no_trust():
    for file in sorted(PAST.rglob("config.yaml")):
        saved_config(file.parent)


# --- the user's own code --------------------------------------------------------------------------

MODULE = """
import os
from functools import partial
from subprocess import run
from torch import nn
from torch.nn import functional
def loss(prediction, target): ...
class Net(nn.Module): ...
bound = partial(loss, target=1)
bad = partial(run, ["true"])
"""


def module_in(folder, name="mine", text=MODULE):
    folder.mkdir(exist_ok=True, parents=True)
    (folder / f"{name}.py").write_text(text)
    importlib.invalidate_caches()
    return folder


def test_modules_of_the_current_folder_are_ours(tmp_path):
    module_in(tmp_path)
    for name in ("loss", "Net", "bound", "nn.MSELoss", "functional.l1_loss"):
        config = OmegaConf.create({"loss": {"_target_": f"mine.{name}"}})
        require_harmless([config], Source(tmp_path / "run", {"mine": str(tmp_path)}))
    for name in ("os.system", "run", "bad", "partial", "os.path.join"):
        assert f"run mine.{name} (loss)" in refused({"loss": {"_target_": f"mine.{name}"}})


def test_modules_in_the_folder_that_is_read_are_not_ours(tmp_path):
    module_in(tmp_path)
    refused({"loss": {"_target_": "mine.loss"}}, folder=tmp_path)


def test_modules_beside_a_config_folder_of_the_command_line_are_ours(tmp_path):
    module_in(tmp_path / "project")
    (tmp_path / "project" / "conf").mkdir()
    code = {"mine": str(tmp_path / "project")}
    node = {"loss": {"_target_": "mine.loss"}}
    assert f"run mine.loss in {tmp_path / 'project'} (loss)" in refused(node, code=code)
    user_code.use(["--config-dir", "project/conf"])
    require_harmless([OmegaConf.create(node)], Source(RUN, code))


def test_code_of_a_stranger_is_not_imported(tmp_path):
    run = tmp_path / "run"
    there = module_in(tmp_path / "evil", "stranger", f"open('{tmp_path}/seen', 'w')\n")
    (there / "conf").mkdir()
    shutil.copytree(RUN, run)
    config = config_with("loss", {"_target_": "stranger.Loss"})
    config |= {"code_dirs": {"stranger": str(there)}, "config_dirs": [str(there / "conf")]}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match=r"would run stranger\.Loss in .*evil \(loss\)"):
        evaluate(run, ("val",))
    sweep = sweep_of(tmp_path / "sweep", "loss=mse", code_dirs={"stranger": str(there)})
    listed = ["loss=mse", "loss._target_=stranger.Loss"]
    (sweep / SWEEP_FILE).write_text(
        json.dumps(
            {"version": 2, "commands": [{"arguments": listed, "listed": None}]}
            | {"jobs": [], "code_dirs": {"stranger": str(there)}}
        )
    )
    with pytest.raises(UserError, match=r"would run stranger\.Loss in .*evil \(loss\)"):
        cli.run([f"resume={sweep}"])
    assert str(there) not in sys.path
    assert user_code.config_dirs() == []
    assert not (tmp_path / "seen").exists()


def test_our_module_does_not_stand_in_for_that_of_another_project(tmp_path):
    module_in(tmp_path)
    other = module_in(tmp_path / "other")
    node = {"loss": {"_target_": "mine.loss"}}
    assert f"in {other}" in refused(node, code={"mine": str(other)})
    require_harmless([OmegaConf.create(node)], Source(RUN, {"mine": "/gone"}))


def test_environments_of_other_modules_need_trust():
    assert "run webbrowser.* (data.env_id)" in refused({"data": {"env_id": "webbrowser:X-v0"}})
    require_harmless([OmegaConf.create({"data": {"env_id": "CartPole-v1"}})], Source(RUN, {}))


def test_secrets_of_the_environment_go_only_where_a_secret_belongs(monkeypatch):
    monkeypatch.setenv("HUB_TOKEN", "abc")
    text = refused({"logger": {"extra": {"a": {"name": "${oc.env:HUB_TOKEN}"}}}})
    assert "read the environment variable HUB_TOKEN (logger.extra.a.name)" in text
    assert "HUB_TOKEN" in refused({"a": "${oc.env:${b}}", "b": "HUB_TOKEN"})
    own = {"logger": {"extra": {"a": {"api_token": "${oc.env:HUB_TOKEN}"}}}, "n": "${oc.env:N,1}"}
    require_harmless([OmegaConf.create(own)], Source(RUN, {}))
