"""The sentences, and that each says what the numbers say."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from losslab.analysis.comparison import compare
from losslab.analysis.conclusions import (
    _underpowered,
    conclusions,
    pair_sentence,
    short_conclusions,
)
from losslab.analysis.scope import NEW_TEST_SAMPLES
from losslab.metrics.labels import metric

MSE = [2.0, 2.5, 2.2, 2.4, 2.1, 2.3]
MAE = [1.0, 1.4, 1.3, 1.2, 1.1, 1.5]
NEAR = [2.1, 2.4, 2.3, 2.3, 2.2, 2.2]


def said(collection, **given):
    [table] = compare(collection, **given).tables
    return conclusions(table)


def test_failures_alone_are_told_if_no_value_is_left(collected):
    told, rest = said(collected({"mse": MSE[:2], "mae": ["diverged"] * 2}))
    assert told.startswith("mae failed at 2 of 2 seeds where mse finished, never the reverse")
    assert rest == "mse and mae have no seed at which both finished"


@pytest.mark.parametrize(
    ("maes", "sentences"),
    [
        (
            {"mse": MSE, "mae": MAE},
            [
                "mae is better than mse: mean absolute error -1.00 [-1.200, -0.800], p = 0.031 "
                "(sign flips) for new samples, better for 6 of 6 seeds"
            ],
        ),
        (
            {"mse": MSE, "huber": NEAR},
            [
                "mean absolute error: no significant differences",
                "mse vs huber: no significant difference: mean absolute error 0 [-0.100, 0.100], "
                "p = 1 (sign flips) for new samples; paired SD 0.110; minimum detectable effect "
                "with 6 seeds: 0.287",
            ],
        ),
        (
            {"mse": MSE[:5], "mae": MAE[:5]},
            [
                "mean absolute error: underpowered with n = 5: no difference of any size can reach "
                "p < 0.05 over one comparison; at least 6 seeds are needed",
                "mae vs mse: mean absolute error -1.04; paired SD 0.114",
            ],
        ),
        (
            {"mse": [2.0], "mae": [1.0]},
            [
                "mean absolute error: underpowered with n = 1: no difference of any size can reach "
                "p < 0.05 over one comparison; at least 6 seeds are needed",
                "mae vs mse: mean absolute error -1.00; the spread is unknown with one pair",
            ],
        ),
        (
            {"mse": [*MSE[:5], "diverged"], "mae": MAE},
            [
                "mse failed at 1 of 6 seeds where mae finished, never the reverse: no significant "
                "difference in failures, p = 1 (McNemar's test) for new samples",
                "mean absolute error: underpowered with n = 5: no difference of any size can reach "
                "p < 0.05 over one comparison; at least 6 seeds are needed",
                "mae vs mse: mean absolute error -1.04; paired SD 0.114",
            ],
        ),
        (
            {"mse": ["diverged"] * 6, "mae": MAE},
            [
                "mse fails more often than mae: at 6 of 6 seeds where mae finished, never the "
                "reverse, p = 0.031 (McNemar's test) for new samples",
                "mae and mse have no seed at which both finished",
            ],
        ),
        ({"mse": MSE}, ["mean absolute error: nothing to compare, there is one row"]),
        (
            {"mse": [1.0, None], "mae": [None, 1.0]},
            [
                "mean absolute error: underpowered with n = 0: no difference of any size can reach "
                "p < 0.05 over one comparison; at least 6 seeds are needed",
                "mse and mae have no seed in common",
            ],
        ),
    ],
    ids=[
        *("significant", "not significant", "underpowered", "one pair", "one diverged"),
        *("all diverged", "one row", "no common seed"),
    ],
)
def test_a_conclusion_says_the_numbers(collected, maes, sentences):
    assert said(collected(maes)) == sentences


def test_a_claim_names_the_better_one_first_whatever_the_baseline(collected):
    maes = {"mse": MSE, "mae": MAE}
    assert said(collected(maes), baseline="mae") == said(collected(maes), baseline="mse")


def test_claims_of_many_rows_in_short(collected):
    maes = {"mse": MSE * 2, "mae": MAE * 2, "huber": NEAR * 2, "sse": [*MSE, *([None] * 6)]}
    [table] = compare(collected(maes)).tables
    assert short_conclusions(table, table.primary_metrics[0]) == [
        "mean absolute error: mae is better than mse, huber",
        "mean absolute error: underpowered with n = 6: no difference of any size can reach p < "
        "0.05 over 6 comparisons; at least 8 seeds are needed",
        "mean absolute error: no significant difference in 1 of 6 pairs",
    ]


def test_as_many_seeds_as_there_are_would_have_found_the_margin(collected):
    [table] = compare(collected({"mse": MSE, "huber": NEAR})).tables
    [pair] = table.pairs
    sentence = pair_sentence(replace(pair, within=pair.mde))
    assert "a difference of 0.287 would have been found" in sentence
    assert "would have been found" not in pair_sentence(replace(pair, within=0.999 * pair.mde))


def test_the_effect_that_a_test_of_medians_detects_is_unknown(collected):
    [_, sentence] = said(collected({"mse": MSE, "huber": NEAR}), center="median")
    assert sentence.endswith("(sign test) for new samples; paired SD 0.110")


def test_no_number_of_samples_shows_a_difference_of_0(collected):
    sizes = {"train": 600, "val": 200, "test": 200}
    runs = collected(
        {"mse": [1.0] * 6, "mae": [1.25, 1.25, 0.5] * 2}, sampling="redrawn", sizes=sizes
    )
    [_, sentence] = said(runs)
    assert "no significant difference: mean absolute error 0 [" in sentence
    assert "samples would show" not in sentence


REDRAWN = {"sampling": "redrawn", "sizes": {"train": 600, "val": 200, "test": 200}}
MCNEMAR = "(McNemar's test, Holm over 2) for new samples"


@pytest.mark.parametrize(
    ("maes", "record", "options", "sentence"),
    [
        (
            {"mse": MSE, "huber": NEAR},
            {},
            {"within": {"mae": 0.3}},
            "mse and huber are equivalent within 0.300: mean absolute error 0 [-0.100, 0.100], "
            "p = 0.016 (sign flips) for new samples",
        ),
        (
            {"mse": MSE, "huber": [value + 0.05 for value in MSE]},
            {},
            {"within": {"mae": 0.1}},
            "mse and huber are equivalent within 0.100: mean absolute error -0.0500 [-0.0500, "
            "-0.0500], p = 0.016 (sign flips) for new samples; within the margin mse is better, "
            "p = 0.031",
        ),
        (
            {"mse": MSE, "huber": NEAR},
            {},
            {"within": {"mae": 0.05}},
            "mse vs huber: undecided: mean absolute error 0 [-0.100, 0.100], p = 1 (sign flips) "
            "for new samples; paired SD 0.110; 83 seeds find a difference of 0.0500; minimum "
            "detectable effect with 6 seeds: 0.287",
        ),
        (
            {"mse": MSE, "mae": MAE},
            {},
            {"center": "median"},
            "mae is better than mse: median difference in mean absolute error -1.00 [-1.200, "
            "-0.800], p = 0.031 (sign test) for new samples, better for 6 of 6 seeds",
        ),
        (
            {"mse": MSE, "mae": MAE},
            {},
            {"center": "iqm"},
            "mae vs mse: no significant difference: interquartile mean difference in mean absolute "
            "error -1.00, p = 0.062 (trimmed sign flips) for new samples; paired SD 0.141",
        ),
        (
            {"mse": MSE, "huber": NEAR},
            {},
            {"center": "median", "within": {"mae": 0.001}},
            "mse vs huber: undecided: median difference in mean absolute error 0 [-0.100, 0.100], "
            "p = 1 (sign test) for new samples; paired SD 0.110",
        ),
        (
            {"mse": MSE, "sse": MSE},
            {},
            {},
            "mse vs sse: no significant difference: mean absolute error equal at all 6 seeds, "
            "p = 1 (sign flips) for new samples",
        ),
        (
            {"mse": MSE[:1], "sse": MSE[:1]},
            {},
            {},
            "mse vs sse: mean absolute error equal at the one seed; the spread is unknown with one "
            "pair",
        ),
        (
            {"mse": MSE, "huber": NEAR},
            REDRAWN,
            {},
            "mse vs huber: no significant difference: mean absolute error 0 [-0.199, 0.199], p = 1 "
            "(corrected t) for new samples, p = 1 for these samples; paired SD 0.110; minimum "
            "detectable effect with 6 seeds: 0.398",
        ),
        (
            {"mse": ["diverged"] * 9 + MSE * 2, "mae": MAE * 2 + MAE[:1] + ["diverged"] + MAE * 2},
            {},
            {},
            "mse fails more often than mae: at 9 of 21 seeds where mae finished, mae at 1 where "
            f"mse did, p = 0.021 {MCNEMAR}",
        ),
    ],
    ids=[
        *("equivalent", "equivalent and better", "a margin", "median", "interquartile mean"),
        *("a margin of the median", "equal", "equal at one seed", "redrawn", "both fail"),
    ],
)
def test_the_last_words_on_a_pair(collected, maes, record, options, sentence):
    assert said(collected(maes, **record), **options)[-1] == sentence


def test_too_few_seeds_of_several_pairs(collected):
    first = said(collected({"mse": MSE * 2, "huber": NEAR[:5], "mae": MAE}))[0]
    assert first == (
        "mean absolute error: underpowered with n = 5 to 6: no difference of any size can reach "
        "p < 0.05 over 3 comparisons; at least 7 seeds are needed"
    )


def test_the_pair_that_needs_most_seeds_is_told():
    pairs = [
        SimpleNamespace(n=n, needed=needed, comparisons=3, metric=metric("mae"))
        for n, needed in ((5, 7), (4, 9), (6, 8))
    ]
    assert _underpowered(pairs) == (
        "mean absolute error: underpowered with n = 4 to 6: no difference of any size can reach "
        "p < 0.05 over 3 comparisons; at least 9 seeds are needed"
    )


def test_equivalent_pairs_in_short(collected):
    maes = {"mse": MSE * 2, "huber": NEAR * 2, "sse": MSE * 2}
    [table] = compare(collected(maes), within={"mae": 0.3}).tables
    assert short_conclusions(table, table.primary_metrics[0]) == [
        "mean absolute error: 3 of 3 pairs are equivalent within 0.300"
    ]


def test_losses_that_are_equal_at_one_seed_are_not_equal_at_all(collected):
    others = [MSE[0], *(value + 0.1 for value in MSE[1:])]
    assert "mean absolute error -0.0833 [" in said(collected({"mse": MSE, "sse": others}))[-1]


def test_the_samples_that_would_show_a_difference(collected):
    """Both sizes are without a sign, also of a negative difference."""
    maes = {"mse": MSE, "huber": [1.0, 2.9, 1.4, 3.2, 1.5, 2.7]}
    assert said(collected(maes, **REDRAWN))[-1].endswith(
        "paired SD 0.755; with 1,000 samples no number of seeds can show less than 1.22; about "
        "84,000 samples would show 0.133; minimum detectable effect with 6 seeds: 2.74"
    )


def test_an_effect_beyond_the_range_of_the_metric_has_no_number(collected):
    maes = {"mse": MSE, "huber": [1.0, 2.9, 1.4, 3.2, 1.5, 2.7]}
    [table] = compare(collected(maes, **REDRAWN)).tables
    [pair] = table.pairs
    share = replace(pair, metric=replace(pair.metric, low=0.0, high=1.0))
    assert pair_sentence(share).endswith("with 6 seeds: more than the metric's range")


def test_new_test_samples_do_not_stand_for_new_training_samples(collected):
    [table] = compare(collected({"mse": MSE, "mae": MAE})).tables
    [pair] = table.pairs
    fixed = replace(pair, test=replace(pair.test, holds_for=NEW_TEST_SAMPLES))
    assert (
        "for new test samples (networks trained on these training samples), p = 0.031 for these "
        "samples, better"
    ) in pair_sentence(fixed)
