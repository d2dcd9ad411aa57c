import pytest

from losslab.analysis.comparison_groups import comparison_groups


def labels(part):
    return [row.label for row in part.rows]


def test_runs_that_differ_in_the_seed_alone_are_a_row(sweep):
    [part] = comparison_groups(reversed(sweep({"mse": [1.0, 2.0, 3.0], "mae": [1.0, 2.0, 3.0]})))
    assert sorted(labels(part)) == ["mae", "mse"]
    assert [[run.seed for run in row.runs] for row in part.rows] == [[0, 1, 2]] * 2
    assert (part.name, part.data) == ("regression", "regression")
    assert not part.confounders


def test_a_row_knows_what_became_of_its_runs(sweep):
    [part] = comparison_groups(
        sweep({"mse": [1.0, "diverged", "exception", "memory", "running", "interrupted"]})
    )
    [row] = part.rows
    assert [run.seed for run in row.done] == [0]
    assert [run.seed for run in row.failed] == [1, 2]
    assert [run.seed for run in row.absent] == [3, 4, 5]
    assert list(row.by_seed) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([("huber", {}, ()), ("mse", {}, ())], ["huber", "mse"]),
        (
            [("huber", {"loss.delta": 2.0}, ()), ("huber", {"loss.delta": 0.5}, ())],
            ["huber (delta=2)", "huber (delta=0.5)"],
        ),
        (
            [("huber", {"loss.delta": 2.0}, ("loss.delta=2",)), ("mse", {}, ())],
            ["huber (delta=2)", "mse"],
        ),
        ([("huber", {"loss.delta": 2.0}, ()), ("mse", {}, ())], ["huber", "mse"]),
        (
            [("mse", {"optimizer.lr": 0.1}, ()), ("mse", {"optimizer.lr": 0.2}, ())],
            ["mse (optimizer.lr=0.1)", "mse (optimizer.lr=0.2)"],
        ),
        (
            [
                ("mse", {"choices.model": "mlp", "model._target_": "MLP"}, ()),
                ("mse", {"choices.model": "linear", "model._target_": "Linear"}, ()),
            ],
            ["mse (model=mlp)", "mse (model=linear)"],
        ),
        (
            [("f", {"loss.weight": [1.0, 2.0]}, ()), ("f", {"loss.weight": None}, ())],
            ["f (weight=[1, 2])", "f (weight=none)"],
        ),
    ],
    ids=["plain", "swept", "given", "not given", "no loss swept", "group", "list"],
)
def test_a_label_says_what_was_given_or_varies(made_up, runs, expected):
    made = [
        made_up(loss, 0, 1.0, settings=settings, overrides=overrides)
        for loss, settings, overrides in runs
    ]
    [part] = comparison_groups(made)
    assert labels(part) == expected


def test_losses_are_compared_at_equal_settings(sweep):
    slow = sweep({"mse": [1.0], "mae": [1.0]}, settings={"optimizer.lr": 0.01})
    fast = sweep({"mse": [1.0], "mae": [1.0]}, settings={"optimizer.lr": 0.1})
    parts = comparison_groups(slow + fast)
    assert [part.name for part in parts] == [
        "regression, optimizer.lr=0.01",
        "regression, optimizer.lr=0.1",
    ]
    assert [labels(part) for part in parts] == [["mse", "mae"]] * 2
    assert not any(part.confounders for part in parts)


def test_options_tuned_a_loss_do_not_part_the_losses(sweep):
    runs = sweep({"huber": [1.0]}, settings={"loss.delta": 2.0})
    runs += sweep({"huber": [1.0]}, settings={"loss.delta": 3.0}) + sweep({"mse": [1.0]})
    [part] = comparison_groups(runs)
    assert labels(part) == ["huber (delta=2)", "huber (delta=3)", "mse"]


def test_what_differs_between_losses_is_said(sweep):
    [part] = comparison_groups(
        sweep({"mse": [1.0]}, settings={"optimizer.lr": 0.01})
        + sweep({"mae": [1.0], "huber": [1.0]}, settings={"optimizer.lr": 0.1})
    )
    assert list(map(str, part.confounders)) == ["optimizer.lr: 0.01 for mse; 0.1 for mae, huber"]


def test_a_group_chosen_otherwise_stands_for_what_follows_from_it(sweep):
    other = {"choices.model": "mlp", "model._target_": "MLP", "model.width": 64}
    [part] = comparison_groups(sweep({"mse": [1.0]}) + sweep({"mae": [1.0]}, settings=other))
    assert list(map(str, part.confounders)) == ["model: linear for mse; mlp for mae"]


@pytest.mark.parametrize(
    ("settings", "hashes", "tables"),
    [
        ({}, {}, 1),
        ({"choices.data": "table"}, {"data": "other"}, 2),
        ({"data.outliers": 0.1}, {"data": "other"}, 2),
        ({"data.outliers": 0.1}, {}, 1),
        ({"task.metrics": ["rmse"]}, {}, 2),
    ],
    ids=["same", "other data", "other option", "the same data by its hash", "judged otherwise"],
)
def test_data_sets_are_not_mixed(sweep, settings, hashes, tables):
    """What is judged otherwise, or is about other data, is a table of its own."""
    other = sweep({"mae": [1.0]}, settings=settings)
    for run in other:
        run.record["hashes"].update(hashes)
    assert len(comparison_groups(sweep({"mse": [1.0]}) + other)) == tables


def test_conditions_on_one_data_set_are_told_apart_by_what_varies_there(sweep):
    runs = [
        run
        for settings in (
            {"data.outliers": 0.0},
            {"data.outliers": 0.1},
            {"choices.data": "table", "choices.model": "mlp", "data._target_": "Table"},
        )
        for run in sweep({"mse": [1.0], "mae": [1.0]}, settings=settings)
    ]
    for index, run in enumerate(runs):
        run.record["hashes"]["data"] = str(index // 2)
    assert [part.name for part in comparison_groups(runs)] == [
        "regression, outliers=0",
        "regression, outliers=0.1",
        "table",
    ]


def test_what_all_runs_were_asked_for_is_shared(made_up):
    given = ("trainer.max_epochs=3", "paths.log_dir=x", "callbacks=quiet", "optimizer.lr=0.02")
    given += ("logger.events=false", "threads=2")
    runs = [
        made_up("mse", 0, 1.0, overrides=(*given, "loss.delta=1")),
        made_up("mae", 0, 1.0, overrides=(*given, "model=linear")),
    ]
    [part] = comparison_groups(runs)
    assert part.shared == ("trainer.max_epochs=3", "optimizer.lr=0.02")


def test_transforms_are_shared_by_their_names(made_up):
    flip = "{_target_: torchvision.transforms.v2.RandomHorizontalFlip, p: 0.3}"
    crop = "{_target_: torchvision.transforms.v2.RandomCrop, size: [28, 28]}"
    given = (f"data.augment=[{flip},{crop}]",)
    [part] = comparison_groups([made_up("mse", overrides=given), made_up("mae", overrides=given)])
    assert part.shared == ("data.augment=[RandomHorizontalFlip,RandomCrop]",)


def test_a_replaced_target_is_told_by_its_name(made_up):
    """The record calls the loss by its class; two classes of that name are told apart."""
    given = ("loss._target_=mine.MyLoss", "model._target_=mine.Net", "++model.width=4")
    settings = {"loss._target_": "mine.MyLoss", "model._target_": "mine.Net", "model.width": 4}
    runs = [made_up("MyLoss", overrides=given, settings=settings), made_up("mse")]
    [part] = comparison_groups([runs[0]])
    assert [row.label for row in part.rows] == ["MyLoss"]
    assert part.shared == ("model.width=4",)
    other = made_up("MyLoss", overrides=given, settings=settings | {"loss._target_": "b.MyLoss"})
    [part] = comparison_groups([runs[0], other])
    assert len({row.label for row in part.rows}) == 2
