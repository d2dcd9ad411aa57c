"""Mistakes in a user's own code, configs and folders get one clear line and leave nothing."""

import pytest

CODE = """\
import torch
from torch import nn

number = 3
instance = nn.MSELoss()

class Good(nn.Module):
    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def forward(self, prediction, target):
        return self.scale * (prediction - target).abs().mean()

class NoForward(nn.Module):
    pass

class OneArgument(nn.Module):
    def forward(self, prediction):
        return prediction.mean()

class Needs(nn.Module):
    def __init__(self, scale):
        super().__init__()

class Raises(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = unknown_scale

class Plain:
    pass

def returns_float(prediction, target):
    return (prediction - target).abs().mean().item()

def returns_none(prediction, target):
    (prediction - target).abs().mean()

def unreduced(prediction, target):
    return (prediction - target).abs()

def detached(prediction, target):
    return (prediction - target).abs().mean().detach()

def name_error(prediction, target):
    return predictoin.mean()

def wrong_shape(prediction, target):
    return (prediction @ target).mean()

calls = 0

def late(prediction, target):
    global calls
    calls += len(prediction) == 64  # a batch, not a problem on which the loss is tried
    if calls > 10:
        raise ValueError("too late")
    return (prediction - target).abs().mean()

def one(p):
    return p.mean()

def with_option(prediction, target, power=2.0):
    return (prediction - target).abs().pow(power).mean()

def needs_option(prediction, target, power):
    return (prediction - target).abs().pow(power).mean()

class Three(nn.Module):
    def __init__(self, input_shape):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
        self.layers(torch.zeros(1, *input_shape))

    def forward(self, inputs):
        return self.layers(inputs)

class Flat(Three):
    def forward(self, inputs):
        return self.layers(inputs)[:, 0]
"""
FILES = {
    "ml.py": CODE,
    "syntax.py": "x = 1\ndef f(prediction, target:\n    return 0\n",
    "imports.py": "import torch\nimport not_a_package_of_anyone.losses\n",
    "raises.py": "import torch\n\nscale = undefined\n",
    "exits.py": "import sys\nsys.exit(3)\n",
    "colorsys.py": "def f(prediction, target):\n    return (prediction - target).abs().mean()\n",
    "x.csv": "a,y\n1,2\n",
    "x.tsv": "a\ty\n1\t2\n",
    "x.npz": "a,y\n1,2\n",
    "conf/loss/no_target.yaml": "scale: 2.0\n",
    "conf/loss/empty.yaml": "",
    "conf/loss/colon.yaml": "# mine\n_target_ torch.nn.MSELoss\n",
    "conf/loss/syntax.yaml": "# mine\n_target_: [torch\n",
    "conf/loss/tab.yaml": "_target_: torch.nn.MSELoss\n\treduction: mean\n",
    "conf/loss/text_defaults.yaml": "defaults: mse\n_target_: torch.nn.MSELoss\n",
    "conf/loss/wrong_data.yaml": (
        "defaults:\n  - override /data@_global_.data: regresion\n  - _self_\n"
        "_target_: torch.nn.MSELoss\n"
    ),
    "conf/loss/wrong_include.yaml": "defaults:\n  - focl\n  - _self_\n",
    "conf/loss/good.yaml": "_target_: ml.Good\n",
    "conf/model/no_target.yaml": "hidden: [3]\n",
}
CONFIGS = {
    "no_target": (["loss=no_target"], "conf/loss/no_target.yaml: expected '_target_: MODULE.NAME'"),
    "empty": (["loss=empty"], "conf/loss/empty.yaml: expected '_target_: MODULE.NAME'"),
    "colon": (["loss=colon"], "conf/loss/colon.yaml must hold lines 'option: value'"),
    "syntax": (["loss=syntax"], "conf/loss/syntax.yaml:2: invalid YAML: "),
    "tab": (["loss=tab"], "conf/loss/tab.yaml:2: invalid YAML: "),
    "text_defaults": (["loss=text_defaults"], "conf/loss/text_defaults.yaml: defaults must be"),
    "wrong_data": (
        ["loss=wrong_data"],
        "conf/loss/wrong_data.yaml: unknown data 'regresion': did you mean regression",
    ),
    "wrong_include": (
        ["loss=wrong_include"],
        "conf/loss/wrong_include.yaml: unknown loss 'focl': did you mean focal?",
    ),
    "sweep": (["-m", "loss=good,syntax"], "conf/loss/syntax.yaml:2: invalid YAML: "),
    "shown": (["loss=wrong_data", "--cfg", "job"], "conf/loss/wrong_data.yaml: unknown data"),
    "model": (["loss=mse", "model=no_target"], "conf/model/no_target.yaml: expected '_target_"),
}
HYDRA = {
    "launcher": (["-m", "loss=mse,mae", "hydra/launcher=lockstp"], "did you mean lockstep?"),
    "sweeper": (["-m", "loss=mse,mae", "hydra/sweeper=basc"], "sweeps use losslab's own sweeper"),
    "logging": (["loss=mse", "hydra/job_logging=defalt"], "did you mean default?"),
}
LOSSES = {
    "float": ("ml.returns_float", "must return a tensor with one number, got"),
    "none": ("ml.returns_none", "must return a tensor with one number, got None: return the value"),
    "unreduced": ("ml.unreduced", "must return one number, got a tensor of shape (64, 1): add .me"),
    "detached": ("ml.detached", "must return a tensor with a gradient"),
    "number": ("ml.number", "ml.number must be a class or a function, got 3"),
    "instance": ("ml.instance", "name its class, torch.nn.modules.loss.MSELoss"),
    "module": ("torch.nn", "torch.nn is a module: add the name of a class"),
    "no_dot": ("MSELoss", "expected _target_: MODULE.NAME, such as torch.nn.MSELoss, got MSELoss"),
    "name_error": (
        "ml.name_error",
        "fails on a batch of data=regression: NameError: name 'predictoin' is not defined (ml.py:",
    ),
    "shape": ("ml.wrong_shape", "cannot be multiplied (64x1 and 64x1) (ml.py:"),
    "one": ("ml.one", "one must take prediction and target, got one(p)"),
    "one_of_a_module": ("ml.OneArgument", "OneArgument.forward must take prediction and target"),
    "no_forward": ("ml.NoForward", "NoForward must have a method forward(self, prediction, target"),
    "plain": ("ml.Plain", "Plain must be a torch.nn.Module or a function of prediction and target"),
    "needs": ("ml.Needs", "Needs needs the option 'scale': add ++loss.scale=..."),
    "function_needs": (
        "ml.needs_option",
        "needs_option needs the option 'power': add ++loss.",
    ),
    "constructor": ("ml.Raises", "NameError: name 'unknown_scale' is not defined (ml.py:"),
    "missing_name": ("ml.Gud", "cannot import ml.Gud: ml.py has no 'Gud': did you mean Good?"),
    "missing_letter": (
        "ml.f",
        "cannot import ml.f: ml.py has no 'f'; it has: Flat, Good, ",
    ),
    "missing_in_library": ("torch.nn.MSELos", "torch.nn has no 'MSELos': did you mean MSELoss"),
    "missing_module": ("not_here.Loss", "there is no not_here.py in "),
    "missing_package": ("imports.f", "imports.py:2: not_a_package_of_anyone is not installed: pip"),
    "syntax": ("syntax.f", "syntax.py:2: SyntaxError: "),
    "raises": ("raises.f", "NameError: name 'undefined' is not defined (raises.py:3)"),
    "exits": ("exits.f", "exits.py:2: it exits when it is imported"),
    "shadowed": ("colorsys.f", "give your colorsys.py another name"),
}
OTHERS = {
    "option_of_a_function": (
        ["loss._target_=ml.with_option", "loss.pwer=3"],
        "with_option has no option 'pwer': did you mean power? It has: power",
    ),
    "option_of_a_class": (
        ["loss._target_=ml.Good", "loss.factor=3"],
        "Good has no option 'factor'. It has: scale",
    ),
    "option_of_a_library": (
        ["loss._target_=torch.nn.MSELoss", "loss.reductoin=sum"],
        "MSELoss has no option 'reductoin': did you mean reduction",
    ),
    "fewer_outputs": (
        ["data=digits", "loss=cross_entropy", "model._target_=ml.Three"],
        "the model has 3 outputs, but the data have 10 classes",
    ),
    "fewer_outputs_for_a_loss_of_others": (
        ["data=digits", "loss._target_=torch.nn.CrossEntropyLoss", "model._target_=ml.Three"],
        "the model has 3 outputs, but the data have 10 classes",
    ),
    "key_beside_invalid_files": (["loss=mse", "los.gamma=1"], "unknown key los.gamma"),
    "generation": (
        ["data=ring", "loss._target_=torch.nn.MSELoss"],
        "must declare discriminator logits in its attribute accepts",
    ),
    "no_columns": (
        ["loss=mse", "model._target_=ml.Flat"],
        "the model's predictions must have shape (N, 1), got (64,)",
    ),
    "table": (["data=arrays", "data.path=x.csv"], "use data=table data.path=x.csv"),
    "other_table": (["data=arrays", "data.path=x.tsv"], "use data=table"),
    "text": (["data=arrays", "data.path=x.npz"], "got another kind of file: save it with numpy."),
    "arrays": (["data=table", "data.path=x.npz", "data.target=y"], "use data=arrays"),
    "log_dir": (
        ["loss=mse", "paths.log_dir=x.csv"],
        "paths.log_dir=x.csv: cannot create folders there: Not a directory",
    ),
    "log_dir_of_a_sweep": (
        ["-m", "loss=mse,mae", "paths.log_dir=x.csv/logs"],
        "paths.log_dir=x.csv/logs: cannot create folders there: Not a directory",
    ),
    "log_dir_in_proc": (["loss=mse", "paths.log_dir=/proc/x"], "/proc/x: cannot create folders"),
}
ALL = {
    **{f"config_{name}": case for name, case in CONFIGS.items()},
    **{f"hydra_{name}": case for name, case in HYDRA.items()},
    **{
        f"loss_{name}": (["data=regression", f"loss._target_={target}"], words)
        for name, (target, words) in LOSSES.items()
    },
    **OTHERS,
}


@pytest.fixture
def project(tmp_path):
    """A folder with code, configs and files of a user who makes mistakes."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(("arguments", "words"), ALL.values(), ids=ALL.keys())
def test_a_mistake_is_named_in_one_line(command, project, arguments, words):
    before = sorted(project.rglob("*.*"))
    outcome = command(*arguments, "--config-dir", "conf")
    [line] = outcome.err.splitlines()
    assert outcome.code == 2
    assert line.startswith("error: ")
    assert words in line
    assert "allow_pickle" not in line
    assert "_split" not in line
    assert line.count("cannot import") <= 1
    left = [path for path in project.rglob("*.*") if path.suffix != ".pyc"]
    assert sorted(left) == before
    assert not (project / "logs").exists()


@pytest.mark.parametrize("more", [[], ["-m"]], ids=["run", "sweep"])
def test_an_error_in_training_names_the_line_of_the_user(command, project, more):
    quick = ["trainer.max_epochs=2", "callbacks=quiet", "trainer=cpu"]
    outcome = command(*more, "data=regression", "loss._target_=ml.late", *quick)
    [line] = [line for line in outcome.err.splitlines() if line.startswith("failed: ")]
    number = CODE.splitlines().index('        raise ValueError("too late")') + 1
    assert outcome.code == 1
    assert line.endswith(f"exception: ValueError: too late (ml.py:{number}); see run.log")
    assert "too late" in (outcome.run / "run.log").read_text()
