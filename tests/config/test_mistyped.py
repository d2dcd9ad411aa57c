"""A mistyped key or choice gets the nearest ones, and never the advice to add it."""

import pytest

from losslab.config.command import parse
from losslab.config.errors import UserError
from losslab.config.jobs import compose_jobs

REFUSED = {
    "group": ("los=focal", "unknown key los: did you mean loss?"),
    "option": (
        "loss=focal loss.gama=1",
        "unknown key loss.gama of loss=focal: did you mean loss.gamma?",
    ),
    "short": ("loss=focal gamma=5", "did you mean loss.gamma?"),
    "short_elsewhere": ("gamma=5", "did you mean loss.gamma (of loss=focal)"),
    "of_another_loss": ("loss=mse loss.gamma=1", "did you mean loss.gamma (of loss=focal)"),
    "deep": ("optimiser.lr=1", "did you mean optimizer.lr"),
    "added": ("+colour=red", "unknown key colour"),
    "added_twice": ("++los.gamma=1", "unknown key los.gamma"),
    "choices": ("debug=fd", "did you mean fdr? Known: fdr, limit, overfit, profiler"),
    "launcher": ("hydra/launcher=lockstp", "basic"),
    "dashes": ("--loss=focal", "write loss=focal"),
    "dashes_alone": ("--seed", "write seed=..."),
    "list": ("data=table data.drop=id,date", "write data.drop=[id,date] for a list"),
    "no_list_but_interpolated": ("trainer.max_epochs=1,2", "has several values: add -m"),
    "no_list": ("seed=1,2", "seed=1,2 has several values: add -m"),
    "losses": ("loss=[focal,dice]", "write -m loss=focal,dice"),
    "sep": ("data=table data.sep=x", "data.sep of data=table: did you mean data.separator?"),
    "na_values": ("data=table data.na_values=[NA]", "did you mean data.missing?"),
    "unquoted_sign": ("data=table data.separator=;", 'quote such signs, as in "data.separator='),
    "own_table": ("loss=huber data=table", "task=regression"),
    "l1": ("loss=l1", "unknown loss 'l1': did you mean mae?"),
    "l2": ("loss=l2", "did you mean mse?"),
    "ce": ("loss=ce", "did you mean cross_entropy?"),
    "nll": ("loss=nll", "did you mean cross_entropy?"),
    "xent": ("loss=xent", "did you mean cross_entropy?"),
    "no_number": ("optimizer.lr=abc", "optimizer.lr must be a number > 0, got abc"),
    "list_for_a_number": (
        "model.hidden=[32]",
        "model.hidden must be a number such as 64, got [32]",
    ),
    "allocator": ("allocator=drop", "allocator must be auto or keep or system, got drop"),
}


@pytest.mark.parametrize(("arguments", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_in_one_line(arguments, words):
    with pytest.raises(UserError) as refused:
        compose_jobs([parse(arguments.split()).overrides])
    message = str(refused.value)
    assert words in message
    assert "\n" not in message
    assert " +" not in message


@pytest.mark.parametrize(
    "arguments",
    [
        "+callbacks.stats._target_=pytorch_lightning.callbacks.DeviceStatsMonitor",
        "+logger.extra.csv._target_=pytorch_lightning.loggers.CSVLogger",
        "+trainer.benchmark=true",
        "++trainer.benchmark=true",
        "++trainer.max_epochs=3",
        "+data.env_options.gravity=5 data=cartpole",
        "model=mlp model.hidden=[]",
        "optimizer.betas=[0.5,0.9]",
        "loss._target_=torch.nn.MSELoss data=regression",
        "experiment=outliers data.outliers=0.2",
        "trainer.devices=auto",
        "loss.weight=[1,2]",
        "~callbacks.figures",
    ],
)
def test_taken(arguments):
    [job] = compose_jobs([parse(arguments.split()).overrides])
    assert job.config.choices.loss
