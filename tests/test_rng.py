"""Seeds are derived as version 0.1 derived them, from strings that never change."""

import pytest

from losslab.rng import Purpose, derive_seed


@pytest.mark.parametrize(
    ("arguments", "seed"),
    [
        ((0, Purpose.WEIGHTS), 4688173054700048839),
        ((3, Purpose.BATCHES, 5), 701711815224313991),
        ((0, Purpose.EXTRACTOR_WEIGHTS), 954725945223865103),
        ((7, Purpose.DROPOUT, 0, 1, 2), 3833101502997576042),
        ((1, Purpose.VAL_EPISODES, 4), 3380481957745135672),
    ],
)
def test_a_seed_never_changes(arguments, seed):
    assert derive_seed(*arguments) == seed


def test_purposes_share_no_seed():
    # of members with one value, all but the first are aliases
    assert len({derive_seed(0, purpose) for purpose in Purpose}) == len(Purpose.__members__)
