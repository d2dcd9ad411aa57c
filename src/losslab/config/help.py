"""The page that ``losslab --help`` and ``python train.py --help`` print."""

import textwrap

from losslab.config import groups, schema
from losslab.config.command import program

HEAD = """\
losslab: train models with loss functions and compare the losses with statistics

Usage: {program} [-m] [GROUP=CHOICE | KEY=VALUE]...

Train
  {program} loss=focal                                  one run, with the default data
  {program} loss=focal loss.gamma=1 data=mnist seed=3   with other options
  {program} -m loss=mse,mae,huber 'seed=range(5)'       a sweep: 15 runs and their comparison
  {program} -m 'loss=glob(*)' data=digits               all losses that fit these data
  {program} resume=FOLDER [trust=true]                  resume a run or a sweep (of others)

Train on several machines (docs/scale.md)
  losslab plan loss=mse,mae 'seed=range(50)'   check the jobs of a sweep and divide them into units
  losslab work SWEEP --next                    train one unit; any number of workers may run at once
  losslab report SWEEP                         compare the runs that are done, while others run

Use runs (COMMAND --help lists the options)
  losslab compare FOLDER...                                   compare the losses of any runs
  losslab evaluate RUN --split test                           evaluate the checkpoint of a run
  losslab tune loss=focal,hinge protocol=tuned                tune losses equally and compare them
  losslab map loss=mse,mae x=data.outliers:0:0.3:7 y=...      map which is best over two options
  losslab lr_find loss=bce,focal data=segmentation            find a learning rate for each loss
  losslab gallery [CLAIM]...                                  test claims about losses
  losslab information 0.5,0.5 0.9,0.1                         entropy and cross-entropy in bits
  losslab convert torch.nn.HuberLoss delta=2                  write a loss of others as one of ours

Losses and data by task
"""
TAIL = """
Other groups
{groups}

All options of a run: {program} loss=focal --cfg job
Tracebacks of errors: HYDRA_FULL_ERROR=1. Options of Hydra: --hydra-help
"""


def help_text() -> str:
    """Return the losses and data by task, then the choices of the other groups."""
    blocks = [HEAD.format(program=program())]
    for task in groups.names("task"):
        data = [
            name
            for name in groups.names("data")
            if groups.default_choice("data", name, "task") == task
        ]
        losses = [name for name in groups.names("loss") if groups.default_task(name) == task]
        node = groups.node("task", task)
        if node.standard_data not in data:  # data that default to another task
            data = [node.standard_data, *data]
        blocks.append(f"  task={task}   (model={groups.default_choice('task', task, 'model')})")
        blocks.append(f"    data={_marked(data, node.standard_data)}")
        blocks += map(_described, losses)
        if not losses:
            blocks.append(f"    loss={node.standard_loss}")
        blocks.append("")
    if others := [name for name in groups.names("loss") if groups.default_task(name) is None]:
        blocks += ["  any task", *map(_described, others), ""]
    above = ("loss", "data", "task", "paths")  # paths has one choice
    rest = []
    for group in schema.GROUPS:
        if group not in above:
            standard = None if group == "model" else groups.standard(group)  # tasks set the model
            text = f"  {group}={_marked(groups.names(group), standard)}"
            rest += textwrap.wrap(text, 100, subsequent_indent=6 * " ", break_on_hyphens=False)
    return "\n".join(blocks) + TAIL.format(program=program(), groups="\n".join(rest))


def _described(loss: str) -> str:
    return f"    loss={loss:<26}{groups.summary('loss', loss)}"


def _marked(names: list[str], standard: str | None) -> str:
    return " | ".join(f"{name} (default)" if name == standard else name for name in names)
