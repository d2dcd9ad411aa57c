"""Sums of losses against their parts alone: which rows those are, and what is said of them."""

import json

import pytest

from losslab.analysis.answer import answers
from losslab.analysis.comparison import compare
from losslab.analysis.compounds import compounds
from losslab.analysis.conclusions import conclusions
from losslab.analysis.load import Collection
from losslab.analysis.notes import notes
from losslab.report.html import page
from losslab.report.markup import markdown

MSE = [2.0, 2.5, 2.2, 2.4, 2.1, 2.3, 2.6, 2.2]
MAE = [1.0, 1.4, 1.3, 1.2, 1.1, 1.5, 1.6, 1.2]
NEAR = [2.02, 2.47, 2.22, 2.38, 2.11, 2.29, 2.59, 2.20]
BEST = [value - 0.5 for value in MAE]
TARGETS = {"mse": "MSE", "mae": "MAE", "huber": "Huber"}


def part_of(name, weight=1, **options):
    loss = {"_target_": TARGETS[name], **options}
    return {f"loss.of.{name}.weight": weight} | {
        f"loss.of.{name}.loss.{key}": value for key, value in loss.items()
    }


@pytest.fixture
def runs(made_up):
    """Makes the runs of losses by their errors; ``+`` joins the components of a sum."""

    def make(errors, **options):
        found = []
        for label, values in errors.items():
            names = label.split("+")
            settings = {} if len(names) > 1 else {"loss._target_": TARGETS[label]}
            for name in names if len(names) > 1 else ():
                weight = name.rstrip("abcdefghijklmnopqrstuvwxyz")
                settings |= part_of(name.removeprefix(weight), float(weight or 1))
            settings |= options.get(label, {})
            for seed, value in enumerate(values):
                kind = value if isinstance(value, str) else None
                mae = None if kind else value
                found.append(made_up(label, seed, mae, kind=kind, settings=settings))
        return found

    return make


def compared(found, **options):
    [table] = (comparison := compare(Collection(tuple(found)), **options)).tables
    [answer] = answers(comparison)
    return table, answer


@pytest.mark.parametrize(
    ("errors", "options", "expected"),
    [
        (
            {"mse": MSE, "mae": MAE, "mse+mae": BEST},
            {},
            "Does mae help beside mse? Yes: by mean absolute error, mse+mae is better than mse "
            "alone by about 1.5 and than mae alone by about 0.5.",
        ),
        (
            {"mse": MSE, "mae": MAE, "mse+mae": MSE},
            {},
            "Does mae help beside mse? No: by mean absolute error, mse+mae is worse than mae "
            "alone by about 1 (beside mse alone, their mean absolute error is equal on average).",
        ),
        (
            {"mse": MSE, "huber": NEAR, "mse+huber": MAE[:4]},
            {},
            "Does huber help beside mse? Undecided: mse+huber beside mse alone and huber alone: "
            "too few seeds for any difference to be significant.",
        ),
        (
            {"mse": MSE, "mae": MAE, "mse+mae": NEAR},
            {"baseline": "mse"},
            "Does mae help beside mse? Undecided: mse+mae beside mse alone: the difference of "
            "0.0025 in mean absolute error is not significant.",
        ),
        (
            {"mse": MSE, "mae": MAE, "mse+mae": BEST},
            {"baseline": "mse"},
            "Does mae help beside mse? Undecided: by mean absolute error, mse+mae is better than "
            "mse alone by about 1.5 (it was not compared with mae alone).",
        ),
        (
            {"mse": MSE, "mae": MAE, "mse+mae": BEST},
            {"baseline": "mse+mae"},
            "Does mae help beside mse? Yes: by mean absolute error, mse+mae is better than mse "
            "alone by about 1.5 and than mae alone by about 0.5.",
        ),
        (
            {"mse": MSE, "huber": MSE, "mse+huber": NEAR},
            {"within": {"mae": 0.1}},
            "Does huber help beside mse? Not by more than the margin: by mean absolute error, "
            "mse+huber is as good as mse alone within 0.1 and as huber alone within 0.1.",
        ),
        (
            {"mse": MSE, "mse+mae": BEST},
            {},
            "Does mae help beside mse? Undecided: by mean absolute error, mse+mae is better than "
            "mse alone by about 1.5; mae was not run alone.",
        ),
        (
            {"mse": 2 * MSE, "mae": 2 * MAE, "mse+mae": MAE + ["diverged"] * 8},
            {},
            "Does mae help beside mse? No: by mean absolute error, mse+mae is worse than mae "
            "alone in failures (beside mse alone, mse+mae is better by about 1 where both finish, "
            "but fails more often).",
        ),
        (
            {"mse": MSE, "mae": MSE, "huber": MSE, "mse+mae+huber": MAE},
            {},
            "Is the sum of mse, mae and huber better than each of them? Yes: by mean absolute "
            "error, mse+mae+huber is better than mse alone by about 1, than mae alone by about 1 "
            "and than huber alone by about 1.",
        ),
        (
            {
                **{"mse": 2 * MSE, "mae": 2 * MAE, "mse+mae": 2 * BEST},
                **{"mse+2mae": 2 * MSE, "mse+3mae": 2 * NEAR},
            },
            {},
            "Does mae help beside mse? Yes: by mean absolute error, mse+mae is better than mse "
            "alone by about 1.5 and than mae alone by about 0.5; mse+3mae is worse than mae alone "
            "by about 1 (beside mse alone, the difference of 0.0025 in mean absolute error is not "
            "significant); mse+2mae is worse than mae alone by about 1 (beside mse alone, their "
            "mean absolute error is equal on average).",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_whether_components_help(runs, errors, options, expected):
    _, answer = compared(runs(errors), **options)
    assert answer.of_sums == (expected,)
    assert answer.lines == (answer.text, expected, f"Next: {answer.next_step}")


def test_the_best_part_has_the_largest_p_value(runs):
    table, _ = compared(runs({"mse": MSE, "mae": MAE, "mse+mae": BEST}))
    pairs = [pair for pair in table.pairs if "mse+mae" in (pair.a, pair.b)]
    largest = max(pair.adjusted_p for pair in pairs)
    assert conclusions(table)[-1] == (
        f"mse+mae is better than the best of its parts, mse and mae: p = {largest:.2g} (the "
        "largest of these pairs, intersection-union test)"
    )


@pytest.mark.parametrize(
    "errors",
    [
        {"mse": MSE, "mae": MAE, "mse+mae": NEAR},
        {"mse": MSE, "mse+mae": BEST},
        {"mse": MSE, "mae": MAE},
    ],
)
def test_no_more_is_claimed_than_the_pairs_show(runs, errors):
    table, _ = compared(runs(errors))
    assert not [line for line in conclusions(table) if "best of its parts" in line]


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({}, ["mae", "mse"]),
        ({"mae": {"loss.delta": 2}}, ["mse"]),
        ({"mse+mae": part_of("mae", delta=2)}, ["mse"]),
        ({"mse+mae": part_of("mae", delta=2), "mae": {"loss.delta": 2}}, ["mae", "mse"]),
        ({"mse": {"optimizer.lr": 0.5}}, ["mae"]),
    ],
)
def test_parts_have_the_same_options_and_settings(runs, changed, parts):
    table, _ = compared(runs({"mse": MSE, "mae": MAE, "mse+mae": BEST}, **changed))
    [compound] = compounds(table)
    found = {row.label for rows in compound.parts.values() for row in rows}
    assert sorted(found) == parts
    assert len(compound.missing) == 2 - len(parts)


def test_parts_that_were_tuned_have_options_of_their_own(runs, on_disk, tmp_path, monkeypatch):
    found = runs(
        {"mse": MSE, "mae": MAE, "mse+mae": BEST},
        **{"mae": {"loss.delta": 2, "optimizer.lr": 0.1}, "mse+mae": part_of("mae", 3, delta=1)},
    )
    for run in found:
        run.config["overrides"][0] = f"loss={'sum' if '+' in run.loss else run.loss}"
    on_disk(*found, below="tuning/final")
    ranges = {
        "sum": {"loss.of.mae.weight": [1]},
        "mse": {},
        "mae": {"loss.delta": [1], "optimizer.lr": [1]},
    }
    plan = {
        **{"protocol": "tuned", "budget": 4, "losses": ["sum", "mse", "mae"], "overrides": []},
        **{"tuning_seeds": [9], "seeds": [0], "ranges": ranges},
        "points": {"sum": [{}, {}, {}, {}], "mse": [{}], "mae": [{}, {}, {}]},
    }
    (tmp_path / "tuning/tuning.json").write_text(json.dumps(plan))
    monkeypatch.chdir(tmp_path)
    tuned = [
        type(run)(tmp_path / "tuning/final" / run.folder, run.record, run.config) for run in found
    ]
    table, _ = compared(tuned)
    [compound] = compounds(table)
    assert compound.missing == []
    assert ("not tuned equally, by the number of settings tried: mse+mae 4, mse 1, mae 3") in notes(
        table
    )
    table, answer = compared([run for run in tuned if run.loss != "mse"])
    assert answer.next_step == (
        "run mse alone, tuned equally: losslab tune loss=sum,mse,mae, with the same other arguments"
    )


def test_the_command_that_adds_the_parts(runs, tmp_path):
    found = runs({"mse+mae": BEST, "huber": MSE})
    _, answer = compared(found)
    advice = "run mse and mae alone, at the same seeds and with the options that the sum gives them"
    assert answer.next_step == advice
    (tmp_path / "sweep.json").write_text("{}")
    for run in found:
        run.config["overrides"] += ["++loss.of.mse=1", "++loss.of.mae.weight=1"]
    moved = [type(run)(tmp_path / run.folder, run.record, run.config) for run in found]
    assert (
        compared(moved)[1].next_step == "run mse and mae alone: losslab resume=FOLDER loss=mse,mae"
    )
    for run in moved:
        run.config["overrides"] += ["++loss.of.mae.delta=2"]
    assert compared(moved)[1].next_step == advice


def test_the_parts_of_a_detector_cannot_be_run_alone(runs):
    settings = {"loss._target_": "losslab.losses.DetectionLoss"}
    table, answer = compared(runs({"mse+mae": BEST, "huber": MSE}, **{"mse+mae": settings}))
    assert [each.missing for each in compounds(table)] == [[]]
    assert "alone" not in answer.next_step


def test_reports_have_the_answer_and_explain_its_test(runs):
    comparison = compare(Collection(tuple(runs({"mse": MSE, "mae": MAE, "mse+mae": BEST}))))
    for text in (markdown(comparison), page(comparison, {})):
        assert text.count("Does mae help beside mse? Yes: by mean absolute error") == 1
        assert text.count("intersection-union test") == 2  # the conclusion and the glossary
