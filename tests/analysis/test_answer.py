"""The answer of a comparison and what to do next, word by word."""

import pytest

from losslab.analysis.answer import answers
from losslab.analysis.comparison import compare
from losslab.analysis.load import Collection

MSE = [2.0, 2.5, 2.2, 2.4, 2.1, 2.3, 2.6, 2.2]
MAE = [1.0, 1.4, 1.3, 1.2, 1.1, 1.5, 1.6, 1.2]
NEAR = [2.02, 2.47, 2.22, 2.38, 2.11, 2.29, 2.59, 2.20]
NOISY = [1.0, 2.9, 1.4, 3.2, 1.5, 2.7, 1.9, 2.6]
SAMPLES = {"sampling": "redrawn", "sizes": {"train": 600, "val": 200, "test": 200}}
ACCURACY = {"task.metrics": ["accuracy", "ece"], "task.monitor": "accuracy", "task.mode": "max"}


def scored(sweep, accuracies, eces=None, **given):
    """Runs with an accuracy, and a calibration error where one is given."""
    runs = sweep(accuracies, settings=ACCURACY | {"choices.data": "digits"}, **given)
    for run in runs:
        if run.outcome == "done":
            ece = {} if eces is None else {"ece": eces[run.loss][run.seed]}
            run.record["test"] = {"accuracy": accuracies[run.loss][run.seed], **ece}
    return runs


def lines(runs, *, tuned=False, **options):
    comparison = compare(Collection(tuple(runs)), **options)
    return [line for each in answers(comparison, tuned=tuned) for line in each.lines]


MARGIN = (
    "Next: set a margin: losslab compare FOLDER --within mae=MARGIN, the largest difference that "
    "does not matter"
)
DECIDED = "Next: nothing, the answer is decided"
TUNE = "Next: tune the learning rate of each loss: losslab tune loss=mae,mse protocol=tuned; "


@pytest.mark.parametrize(
    ("maes", "options", "expected"),
    [
        (
            {"mse": MSE},
            {},
            (
                "On regression, only mse was run: there is nothing to compare it with.",
                "Next: run another loss at the same seeds: loss=mse,OTHER",
            ),
        ),
        (
            {"mse": MSE, "mae": MAE},
            {},
            (
                "On regression, mae has the best mean absolute error; mse is worse by about 1. "
                "8 seeds; holds for new data of this kind.",
                DECIDED,
            ),
        ),
        (
            {"mse": MSE, "huber": NEAR},
            {},
            (
                "On regression, undecided between huber and mse: the difference of 0.0025 in mean "
                "absolute error is not significant. 8 seeds; judged for new data of this kind.",
                MARGIN,
            ),
        ),
        (
            {"mse": MSE, "sse": MSE},
            {},
            (
                "On regression, undecided between mse and sse: their mean absolute error is equal "
                "on average. 8 seeds; judged for new data of this kind.",
                MARGIN,
            ),
        ),
        (
            {"mse": MSE, "huber": NEAR, "mae": MAE},
            {"within": {"mae": 0.1}},
            (
                "On regression, mae has the best mean absolute error; huber and mse are worse "
                "by about 1. 8 seeds; holds for new data of this kind.",
                DECIDED,
            ),
        ),
        (
            {"mse": MSE, "huber": NEAR, "sse": [value + 3 for value in MSE]},
            {"within": {"mae": 0.1}},
            (
                "On regression, huber and mse are equally good within 0.1 in mean absolute error; "
                "sse is worse by about 3. 8 seeds; holds for new data of this kind.",
                "Next: choose by cost or by another metric",
            ),
        ),
        (
            {"mse": MSE, "huber": NEAR, "sse": [value + 3 for value in MSE]},
            {},
            (
                "On regression, no significant difference in mean absolute error between huber and "
                "mse; sse is worse by about 3. 8 seeds; holds for new data of this kind.",
                MARGIN,
            ),
        ),
        (
            {"mse": MSE[:4], "mae": MAE[:4]},
            {},
            (
                "On regression, undecided between mae and mse: too few seeds for any difference to "
                "be significant. 4 seeds; judged for new data of this kind.",
                "Next: more seeds: at least 6",
            ),
        ),
        (
            {"mse": [1.0, None], "mae": [None, 1.0]},
            {},
            (
                "On regression, mse and mae cannot be compared: they have no finished seed in "
                "common.",
                "Next: run the losses at the same seeds",
            ),
        ),
        (
            {"mse": [*MSE[:7], "diverged"], "mae": MAE},
            {},
            (
                "On regression, mae has the best mean absolute error; mse is worse by about 1. mse "
                "failed at 1 of 8 seeds. 8 seeds; holds for new data of this kind.",
                f"{TUNE}mse diverged",
            ),
        ),
        (
            {"mse": ["diverged"] * 8, "mae": MAE},
            {},
            (
                "On regression, mae is to be preferred; mse fails more often. mse failed "
                "at 8 of 8 seeds. 8 seeds; holds for new data of this kind.",
                f"{TUNE}mse diverged",
            ),
        ),
        (
            {"mse": [*MSE[:7], 9.0], "mae": [value + 0.5 for value in MSE]},
            {},
            (
                "On regression, undecided between mae and mse: the difference of 0.35 in mean "
                "absolute error is not significant. mse collapsed at 1 of 8 seeds. 8 seeds; judged "
                "for new data of this kind.",
                MARGIN,
            ),
        ),
        (
            {f"loss{index}": [value + index for value in MSE * 2] for index in range(7)},
            {},
            (
                "On regression, loss0 has the best mean absolute error; the other 6 are worse by 1 "
                "to 6. 16 seeds; holds for new data of this kind.",
                DECIDED,
            ),
        ),
        (
            {"mse": MSE, "huber": NEAR, "mae": MAE},
            {"baseline": "mse"},
            (
                "On regression, compared with mse by mean absolute error, mae is better by about "
                "1; huber is undecided. 8 seeds; holds for new data of this kind.",
                MARGIN,
            ),
        ),
    ],
    ids=[
        *("one row", "decided", "undecided", "equal", "one leads within a margin", "equivalent"),
        *("a tie that leads", "underpowered", "no common seed", "a failure", "all failed"),
        *("a collapse", "many rows", "a baseline"),
    ],
)
def test_fresh_data(sweep, maes, options, expected):
    assert lines(sweep(maes), **options) == list(expected)


ACCURACIES = [0.951, 0.948, 0.955, 0.942, 0.949, 0.953, 0.946, 0.957]
LOWER = [0.841, 0.838, 0.832, 0.845, 0.840, 0.836, 0.843, 0.839]
FEW = [0.9512, 0.9486, 0.9547, 0.9430, 0.9484, 0.9524, 0.9463, 0.9575]


@pytest.mark.parametrize(
    ("accuracies", "options", "expected"),
    [
        (
            {"cross_entropy": ACCURACIES, "focal": FEW, "bce": LOWER},
            {"within": {"accuracy": 0.03}},
            (
                "On digits, focal and cross_entropy are equally good within 3 points of accuracy; "
                "bce is worse by about 11 points. 8 seeds; holds for new data of this kind.",
                "Next: choose by cost or by another metric",
            ),
        ),
        (
            {"cross_entropy": ACCURACIES, "focal": FEW},
            {},
            (
                "On digits, undecided between focal and cross_entropy: no number of seeds can show "
                "the difference of 0.014 points on 1,000 samples. 8 seeds; judged for new data of "
                "this kind.",
                "Next: set a margin: losslab compare FOLDER --within accuracy=MARGIN, the largest "
                "difference that does not matter; about 47,000 samples would show 0.014 points",
            ),
        ),
        (
            {"cross_entropy": ACCURACIES, "focal": FEW},
            {"within": {"accuracy": 0.0001}},
            (
                "On digits, undecided between focal and cross_entropy: no number of seeds can show "
                "the difference of 0.014 points on 1,000 samples. 8 seeds; judged for new data of "
                "this kind.",
                "Next: more data: about 310,000 samples decide differences of 0.01 points",
            ),
        ),
        (
            {"cross_entropy": ACCURACIES, "bce": LOWER},
            {"scope": "data"},
            (
                "On digits, cross_entropy has the best accuracy; bce is worse by about 11 points. "
                "8 seeds; holds for these 1,000 samples only.",
                DECIDED,
            ),
        ),
    ],
    ids=["equally good", "data are the limit", "data are the limit of a margin", "these samples"],
)
def test_redrawn_splits(sweep, accuracies, options, expected):
    assert lines(scored(sweep, accuracies, **SAMPLES), **options) == list(expected)


MORE = [value + 0.1 + place / 1000 for place, value in enumerate(MSE)]
CLOSE = [2.11, 2.8, 2.4, 2.52, 2.25, 2.4, 2.85, 2.28]
THREE_UNDECIDED = "On regression, undecided between huber, sse and mse: "


@pytest.mark.parametrize(
    ("maes", "given", "expected"),
    [
        (
            {"huber": NOISY, "mse": MSE, "sse": MORE},
            {},
            "On regression, no significant difference in mean absolute error between huber and "
            "mse; sse is worse than mse by about 0.1.",
        ),
        (
            {"huber": NOISY, "mse": MSE, "sse": NEAR},
            {},
            f"{THREE_UNDECIDED}differences of up to 0.14 in mean absolute error are not "
            "significant.",
        ),
        (
            {"mse": MSE, "sse": NEAR, "huber": NEAR[:4]},
            {},
            f"{THREE_UNDECIDED}differences of up to 0.0025 in mean absolute error are not "
            "significant.",
        ),
        (
            {"mse": MSE, "sse": NEAR, "huber": NOISY},
            SAMPLES,
            f"{THREE_UNDECIDED}no number of seeds can show differences of up to 0.14 on 1,000 "
            "samples.",
        ),
        (
            {"mse": ["diverged"] * 2, "mae": MAE[:2]},
            {},
            "On regression, undecided between mae and mse: at no seed did both finish.",
        ),
        (
            {"mse": [1.0] * 6, "sse": [1.1, 1.2, 0.7] * 2},  # their sum is 2e-16 and not 0
            {},
            "On regression, undecided between mse and sse: their mean absolute error is equal on "
            "average.",
        ),
        (
            {"mse": MSE, "sse": NEAR, "huber": CLOSE},
            SAMPLES,
            "On regression, undecided between sse, mse and huber: differences of up to 0.17 in "
            "mean absolute error are not significant.",
        ),
        (
            {"mse": NOISY[:5], "sse": MSE[:5], "huber": ["diverged"] * 5},
            SAMPLES,
            "On regression, undecided between mse, sse and huber: no number of seeds can show the "
            "difference of 0.24 on 1,000 samples.",
        ),
    ],
    ids=[
        *("worse than the second of the leading", "three undecided", "one with few seeds"),
        *("samples are the limit", "no seed at which both finished", "equal but for rounding"),
        *("samples are the limit of two pairs", "one without a value"),
    ],
)
def test_what_is_said_of_several_leading_rows(sweep, maes, given, expected):
    assert lines(sweep(maes, **given))[0].startswith(expected)


def test_leading_rows_of_which_two_are_equivalent(sweep):
    said = lines(sweep({"mse": MSE, "sse": NEAR, "huber": NOISY}), within={"mae": 0.1})[0]
    assert said == (
        f"{THREE_UNDECIDED}differences of up to 0.14 in mean absolute error are not significant; "
        "sse and mse are equally good within 0.1. 8 seeds; holds for new data of this kind."
    )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            5,
            "loss1 is worse by about 1, loss2 by about 2, loss3 by about 3 and loss4 by about 4.",
        ),
        (6, "the other 5 are worse by 1 to 5."),
    ],
)
def test_at_most_four_worse_rows_are_named(sweep, rows, expected):
    maes = {f"loss{row}": [value + row for value in MSE * 2] for row in range(rows)}
    assert expected in lines(sweep(maes))[0]


def test_all_that_can_be_said_of_rows_beside_a_baseline(sweep):
    maes = {"mse": MSE * 2, "sse": NEAR * 2, "mae": MAE * 2}
    maes |= {"huber": [value + 3 for value in MSE * 2], "quantile": MSE + ["diverged"] * 8}
    assert lines(sweep(maes), within={"mae": 0.1}, baseline="mse")[0] == (
        "On regression, compared with mse by mean absolute error, mae is better by about 1; sse is "
        "equally good within 0.1; huber is worse by about 3 and quantile in failures. quantile "
        "failed at 8 of 16 seeds. 16 seeds; holds for new data of this kind."
    )


def test_a_baseline_alone(sweep):
    [said, _] = lines(sweep({"mse": MSE}), baseline="mse")
    assert said == "On regression, nothing was compared with the baseline."


def test_one_seed(sweep):
    [said, _] = lines(sweep({"mse": ["diverged"], "mae": [1.0]}))
    assert said.endswith("mse failed at 1 of 1 seed. 1 seed; judged for new data of this kind.")


def test_data_are_named_with_what_was_typed_for_them(sweep):
    settings = {"data.outliers": 0.1, "data.n": 40, "choices.model": "mlp"}
    typed = ("data.outliers=0.1", "data.n=40", "model=mlp")
    [said, _] = lines(sweep({"mse": MSE, "mae": MAE}, settings=settings, overrides=typed))
    assert said.startswith("On regression with outliers=0.1 and n=40, mae has the best")


def test_a_number_of_samples_that_is_unknown(sweep):
    [said, _] = lines(sweep({"mse": MSE, "mae": MAE}, sampling="fixed_test", sizes={}))
    assert said.endswith("holds for these samples only.")


def test_more_seeds_for_a_margin(sweep):
    runs = sweep({"mse": MSE, "huber": NEAR})
    assert lines(runs, within={"mae": 0.01})[1] == "Next: more seeds: 51 decide differences of 0.01"


@pytest.mark.parametrize(
    ("maes", "options", "expected"),
    [
        ({"mse": MSE}, {}, "at the same seeds: add it to losses=... of losslab.compare"),
        ({"mse": MSE[:3], "mae": MAE[:3]}, {}, "more seeds: at least 6: result.extend(seeds=3)"),
        (
            {"mse": MSE, "huber": NOISY},
            {},
            'set a margin: losslab.load(result.folder, within={"mae": MARGIN}), the largest '
            "difference that does not matter",
        ),
        (
            {"mse": MSE, "huber": NEAR},
            {"within": {"mae": 0.01}},
            "more seeds: 51 decide differences of 0.01: result.extend(seeds=43)",
        ),
        (
            {"mse": [*MSE[:7], "diverged"], "mae": MAE},
            {},
            "losslab.tune(...), with the arguments of losslab.compare; mse diverged",
        ),
    ],
    ids=["one row", "few seeds", "a margin", "seeds for a margin", "tuning"],
)
def test_advice_in_python(maes, options, expected, sweep):
    said = lines(sweep(maes), in_python=True, **options)[-1]
    assert said.endswith(expected)
    assert "losslab tune " not in said


def test_tuning_of_a_loss_that_is_more_than_a_name(sweep):
    runs = [
        *sweep({"mse": MSE}, overrides=["loss=mse"]),
        *sweep({"mse+2mae": [*MAE[:7], "diverged"]}, overrides=["loss=sum", "loss.of.mse=1"]),
    ]
    said = "Next: tune the learning rate of each loss: losslab tune LOSSES protocol=tuned; "
    assert lines(runs)[-1] == f"{said}mse+2mae diverged"
    assert lines(runs[8:])[-1] == "Next: run another loss at the same seeds: LOSSES,OTHER"


def test_the_best_by_one_metric_is_worse_by_another(sweep):
    eces = {"hinge": [value / 10 for value in MSE], "bce": [value / 10 for value in MAE]}
    runs = scored(sweep, {"hinge": ACCURACIES, "bce": LOWER}, eces)
    assert lines(runs, primary_metrics=["accuracy", "ece"]) == [
        "On digits, hinge has the best accuracy; bce is worse by about 11 points. But by "
        "calibration error (ECE), hinge is worse than bce by about 0.1. 8 seeds; holds for new "
        "data of this kind.",
        DECIDED,
    ]


def test_a_row_without_a_result_does_not_lead(sweep):
    assert lines(sweep({"mse": MSE, "mae": MAE, "huber": ["running"] * 8})) == [
        "On regression, mae has the best mean absolute error; mse is worse by about 1. huber has "
        "no result. 8 seeds; holds for new data of this kind.",
        DECIDED,
    ]


def test_values_and_failures_that_contradict_each_other(sweep):
    maes = {"mse": [*MSE, *MSE], "mae": [*MAE, *["diverged"] * 8]}
    assert lines(sweep(maes), tuned=True) == [
        "On regression, undecided between mse and mae: mae is better by about 1 where both finish, "
        "but fails more often. mae failed at 8 of 16 seeds. 16 seeds; holds for new data of this "
        "kind.",
        "Next: choose between better values and fewer failures",
    ]


def test_each_table_has_its_answer(sweep):
    runs = sweep({"mse": MSE * 2, "mae": MAE * 2})
    noisy = {"data.outliers": 0.1}
    runs += sweep(
        {"mse": MSE * 2, "mae": NEAR * 2}, settings=noisy, overrides=("data.outliers=0.10",)
    )
    for run in runs[32:]:
        run.record["hashes"]["data"] = "other"
    said = [line for line in lines(runs) if not line.startswith("Next")]
    assert said == [
        "On regression with outliers=0, mae has the best mean absolute error; mse is worse by "
        "about 1. 16 seeds; holds for new data of this kind.",
        "On regression with outliers=0.1, undecided between mae and mse: the difference of "
        "0.0025 in mean absolute error is not significant. 16 seeds; judged for new data of this "
        "kind.",
    ]


# --- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tuned", [False, True])
def test_training_that_had_not_converged(sweep, with_monitor, tuned):
    curves = {"mse": [5.0, 4.0, 3.0, 2.0], "mae": [2.0, 1.0, 1.1]}
    runs = sweep({"mse": MSE, "mae": MAE})
    for run in runs:
        with_monitor(run, [value + run.seed / 100 for value in curves[run.loss]])
    said = lines(runs, tuned=tuned)[1]
    train = "train longer (trainer.max_epochs), or tune the learning rate of each loss: losslab "
    expected = f"Next: {train}tune loss=mae,mse protocol=tuned; mse was still improving"
    assert said == (DECIDED if tuned else expected)


def test_a_best_epoch_that_is_the_first(sweep):
    runs = sweep({"mae": MAE}) + sweep({"mse": MSE}, best={"epoch": 0, "metrics": {"mae": 1.0}})
    assert lines(runs)[1] == f"{TUNE}the best epoch of mse is the first"


def test_more_data_is_not_advised_if_seeds_are_the_limit(collected):
    """One of four runs collapsed: the seeds vary, and the samples hardly matter."""
    runs = collected(
        {"mse": [0.99, 0.98, 0.97, 0.98], "mae": [0.95, 9.0, 0.99, 0.97]},
        sampling="redrawn",
        sizes={"train": 600, "val": 200, "test": 20},
    )
    [found] = answers(compare(runs, within={"mae": 0.02}))
    assert found.next_step.startswith("a larger margin: 0.02 would take more than 200 seeds")
