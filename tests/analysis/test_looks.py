"""Comparisons of sweeps that were compared before, and where the looks are kept."""

import dataclasses

import numpy as np
import pytest

from losslab.analysis.comparison import compare
from losslab.analysis.conclusions import conclusions, pair_sentence
from losslab.analysis.load import Collection, collect
from losslab.analysis.looks import looks_at
from losslab.analysis.notes import comparison_notes, notes
from losslab.analysis.sequential import sequential_sign_flip_p, spending
from losslab.analysis.statistics import LEVEL, sign_flip_p
from losslab.runs.looks import LOOKS_FILE, NO_LOOKS, Looks, look_at, merged, read_looks, write_looks

REDRAWN = {"sampling": "redrawn", "sizes": {"train": 600, "val": 200, "test": 200}}


def seeds(count):
    return frozenset(range(count))


def values(shift, count=16, seed=0, spread=0.1):
    rng = np.random.default_rng(seed)
    theirs = rng.normal(2.0, 1.0, count)
    return {"mse": list(theirs), "mae": list(theirs - shift + rng.normal(0, spread, count))}


def only_pair(comparison):
    [table] = comparison.tables
    [pair] = table.pairs
    return pair


def test_a_first_comparison_is_as_ever(collected):
    runs = collected(values(0.1))
    assert only_pair(compare(runs, looks=Looks((seeds(16),)))) == only_pair(compare(runs))


def test_an_earlier_look_costs_level(collected):
    """Eight seeds were compared at the whole level; sixteen may spend only what that left."""
    runs = collected(values(0.07))
    pair = only_pair(compare(runs, looks=Looks((seeds(8),))))
    differences = np.array(list(pair.differences.values()))
    assert [look.n for look in pair.looks] == [8, 16]
    assert pair.p == sequential_sign_flip_p(differences, [8, 16], [1, 1])[-1]
    assert pair.p > sign_flip_p(differences)
    again = only_pair(compare(runs, looks=Looks((seeds(8), seeds(16)))))
    assert again == pair  # the same runs again are no new look


def test_what_an_earlier_look_decided_stands(collected):
    pair = only_pair(compare(collected(values(1.0)), looks=Looks((seeds(8),))))
    assert pair.better == "mae"
    assert pair.decided_after == 8


def test_looks_are_told_if_there_were_several(collected):
    pair = only_pair(compare(collected(values(0.07)), looks=Looks((seeds(8),))))
    assert "(sign flips, 2 looks)" in pair_sentence(pair)
    assert "(sign flips)" in pair_sentence(dataclasses.replace(pair, looks=pair.looks[:1]))


def test_a_look_with_too_few_seeds_costs_nothing(collected):
    runs = collected(values(0.07))
    pair = only_pair(compare(runs, looks=Looks((seeds(4),))))
    assert pair.p <= 1.2 * sign_flip_p(list(pair.differences.values()))


def test_planned_looks_spend_by_seeds(collected):
    runs = collected(values(0.07, count=12))
    pair = only_pair(compare(runs, looks=Looks((seeds(8),), planned=(8, 12, 16))))
    spent = [spending(8 / 16), spending(12 / 16)]
    expected = sequential_sign_flip_p(list(pair.differences.values()), [8, 12], spent)
    assert [look.p for look in pair.looks] == expected.tolist()


def test_differences_are_taken_in_the_order_of_the_looks(collected):
    """Seeds 8 to 15 were there first."""
    runs = collected(values(0.07))
    pair = only_pair(compare(runs, looks=Looks((frozenset(range(8, 16)),))))
    ordered = [pair.differences[seed] for seed in (*range(8, 16), *range(8))]
    assert pair.p == sequential_sign_flip_p(ordered, [8, 16], [1, 1])[-1]


def test_redrawn_splits_spend_by_their_information(collected):
    pair = only_pair(
        compare(collected(values(0.2), **REDRAWN), looks=Looks((seeds(8),), planned=(8, 16)))
    )
    assert pair.test.method == "corrected t"
    assert pair.better == "mae"
    assert pair.decided_after == 8
    assert pair.of_these_samples.p <= LEVEL


@pytest.mark.parametrize("center", ["mean", "median", "iqm"])
def test_equivalence_is_tested_at_the_same_looks(collected, center):
    runs = collected(values(0.0))
    looks = Looks((seeds(8),), planned=(8, 16))
    pair = only_pair(compare(runs, looks=looks, within={"mae": 0.5}, center=center))
    assert pair.verdict == "equivalent"
    assert pair.decided_after == 8
    assert only_pair(compare(runs, looks=looks, center=center)).verdict == "undecided"


def test_failures_pay_for_looks_too(collected):
    theirs = ["diverged"] * 7 + [1.0] * 9
    runs = collected({"mse": theirs, "mae": list(np.linspace(1, 2, 16))})
    once, twice = (
        only_pair(compare(runs, looks=looks)) for looks in (NO_LOOKS, Looks((seeds(5),)))
    )
    assert once.failures.p == pytest.approx(2 / 2**7)
    assert once.failures.p < twice.failures.p <= 0.03


def test_the_report_says_how_many_looks_there_were(collected):
    runs = collected(values(1.0))
    extended = compare(runs, looks=Looks((seeds(8),)))
    assert any(line.startswith("2 looks: ") for line in comparison_notes(extended))
    [line] = conclusions(extended.tables[0])
    assert "2 looks" in line
    assert line.endswith("decided after 8 seeds")
    planned = compare(runs, looks=Looks((seeds(8),), planned=(8, 16, 32)))
    assert "look 2 of 3 (8, 16, 32 seeds): p-values cover all" in comparison_notes(planned)
    assert not any("look" in line for line in comparison_notes(compare(runs)))


def test_a_loss_that_left_is_not_missing_seeds(collected):
    theirs = values(1.0)
    runs = collected({"mse": [*theirs["mse"][:8]], "mae": theirs["mae"]})
    looks = Looks((seeds(8), seeds(16)), planned=(8, 16))
    [table] = compare(runs, looks=looks).tables
    assert "mse has 8 seeds, which decided all of its pairs" in notes(table)


def test_seeds_that_agree_exactly_are_compared(collected):
    """Differences without any spread leave a t-test with an error of 0."""
    runs = collected({"mse": [2.0] * 12, "mae": [1.0] * 12}, **REDRAWN)
    pair = only_pair(compare(runs, looks=Looks((seeds(8),), planned=(8, 12)), within={"mae": 2}))
    assert pair.verdict == "equivalent"
    assert pair.better == "mae"


# --- the file -------------------------------------------------------------------------------------


def sweep_on_disk(on_disk, made_up, count):
    runs = [made_up(loss, seed, 1.0 + seed) for loss in ("mse", "mae") for seed in range(count)]
    return on_disk(
        *(dataclasses.replace(r, folder=r.folder.parent / f"seed{r.seed}") for r in runs)
    )


def test_a_comparison_is_noted_in_the_sweeps_folder(on_disk, made_up):
    folder = sweep_on_disk(on_disk, made_up, 3)
    assert looks_at(collect([folder])).seeds == (seeds(3),)
    assert looks_at(collect([folder])).seeds == (seeds(3),)
    assert read_looks(folder).seeds == (seeds(3),)


def test_single_runs_have_no_looks(on_disk, made_up):
    folder = on_disk(made_up("mse", 0, 1.0))
    assert looks_at(collect([folder])) == NO_LOOKS
    assert not list(folder.rglob(LOOKS_FILE))


def test_only_new_seeds_are_a_new_look(tmp_path):
    write_looks(tmp_path, Looks(planned=(4, 8)))
    for shown in (seeds(4), seeds(2), frozenset(), seeds(6)):
        look_at(tmp_path, shown)
    assert read_looks(tmp_path) == Looks((seeds(4), seeds(6)), planned=(4, 8))


def test_a_folder_that_cannot_be_written_is_compared_all_the_same(tmp_path, monkeypatch):
    def refuse(path, content):
        raise PermissionError(path)

    monkeypatch.setattr("losslab.runs.looks.replace_file", refuse)
    assert look_at(tmp_path, seeds(4)).seeds == (seeds(4),)


def test_a_later_version_is_refused(tmp_path):
    (tmp_path / LOOKS_FILE).write_text('{"version": 2}')
    with pytest.raises(ValueError, match="reads at most 1"):
        read_looks(tmp_path)


def test_looks_of_several_sweeps_are_joined():
    one, other = Looks((seeds(8),), planned=(8, 16)), Looks((seeds(8), seeds(10)))
    assert merged([one]) == one
    assert merged([one, other]) == Looks((seeds(8), seeds(10)))
    assert merged([]) == NO_LOOKS
    assert merged([one, other]).before(seeds(9)) == [seeds(8)]


def test_runs_without_a_folder_have_no_looks(collected):
    assert looks_at(Collection(())) == NO_LOOKS


def test_the_interquartile_mean_is_tested_over_looks_too(collected):
    """The mean's test finds nothing: one run collapsed, and turns the mean around."""
    mse = [1 + place / 100 for place in range(12)]
    mae = [value - 0.3 - place / 100 for place, value in enumerate(mse)]
    mae[2] += 60
    runs, looks = collected({"mse": mse, "mae": mae}), Looks((frozenset(range(4)),))
    [pair] = compare(runs, center="iqm", looks=looks).tables[0].pairs
    assert pair.better == "mae"
    assert compare(runs, center="iqm").tables[0].pairs[0].adjusted_p <= pair.adjusted_p
    within = compare(runs, center="iqm", within={"mae": 1.0}, looks=looks).tables[0].pairs[0]
    assert within.equivalent
