"""The page that ``losslab --help`` prints; ``python train.py`` is the same command."""

from losslab.config import groups, schema

HEAD = """\
losslab: which loss function should I use here, and how sure am I?

  python train.py loss=focal                                    one run
  python train.py loss=focal loss.gamma=1 data=mnist seed=3     with options
  python train.py -m loss=mse,mae,huber 'seed=range(5)'         a sweep, compared
  python train.py resume=FOLDER                                 go on with a run or a sweep

  losslab compare FOLDER                                        compare any runs
  losslab tune loss=focal,hinge protocol=tuned                  tune alike, then compare
  losslab evaluate RUN --split test                             evaluate a checkpoint anew
  losslab gallery [CLAIM]                                       what is said of losses, tried
  (losslab and python train.py are one command; each of these has its own --help)

Losses and data, by task
"""
TAIL = """
Other choices
{groups}

Every option of a choice: python train.py loss=focal --cfg job
Full traces of errors: HYDRA_FULL_ERROR=1. Hydra's own options: --hydra-help
"""


def help_text() -> str:
    """Losses and data by task, then the other groups."""
    blocks = [HEAD]
    for task in groups.names("task"):
        data = [
            name
            for name in groups.names("data")
            if groups.default_choice("data", name, "task") == task
        ]
        losses = [name for name in groups.names("loss") if groups.default_task(name) == task]
        standard = groups.node("task", task)
        if standard.standard_data not in data:  # at home in another task
            data = [standard.standard_data, *data]
        blocks.append(f"  {task}   (model={groups.default_choice('task', task, 'model')})")
        blocks.append(f"    data: {_marked(data, standard.standard_data)}")
        blocks += [f"    loss={name:<26}{groups.summary('loss', name)}" for name in losses]
        if not losses:
            blocks.append(f"    loss={standard.standard_loss}")
        blocks.append("")
    above = ("loss", "data", "task", "paths")  # paths has one choice
    rest = "\n".join(
        f"  {group}={'|'.join(groups.names(group))}"
        for group in schema.GROUPS
        if group not in above
    )
    return "\n".join(blocks) + TAIL.format(groups=rest)


def _marked(names: list[str], standard: str) -> str:
    return ", ".join(f"{name} (default)" if name == standard else name for name in names)
