"""The arguments ``seeds=auto`` and ``looks=[8,12,16]`` of a sweep that adds seeds by itself."""

import json
from collections.abc import Sequence

from losslab.config.errors import UserError

LOOKS = (8, 12, 16, 24, 32)
"""Default numbers of seeds at which a sweep with ``seeds=auto`` compares its losses."""


def split_looks(overrides: Sequence[str]) -> tuple[tuple[int, ...], list[str]]:
    """Split the looks from the other arguments; there are none without ``seeds=auto``.

    Raises:
        UserError: if ``seeds=`` or ``looks=`` has another value, or one needs the other.

    Example:
        >>> split_looks(["loss=mse,mae", "seeds=auto"])
        ((8, 12, 16, 24, 32), ['loss=mse,mae'])
    """
    given = dict(each.split("=", 1) for each in overrides if each.startswith(("seeds=", "looks=")))
    others = [each for each in overrides if not each.startswith(("seeds=", "looks="))]
    if not given:
        return (), others
    if given.get("seeds", "auto") != "auto":
        raise UserError(
            f"seeds={given['seeds']}: seeds= takes only auto; for given seeds write 'seed=range(8)'"
        )
    if "seeds" not in given:
        raise UserError(f"looks={given['looks']} needs seeds=auto")
    seeds = [each for each in others if each.startswith("seed=")]
    if seeds:
        raise UserError(f"{seeds[0]}: seeds=auto adds the seeds by itself: remove one of the two")
    return _looks(given["looks"]) if "looks" in given else LOOKS, others


def _looks(text: str) -> tuple[int, ...]:
    """Read the numbers of seeds.

    Raises:
        UserError: if they are not increasing whole numbers from 2.
    """
    try:
        looks = json.loads(text)
    except ValueError:
        looks = None
    whole = isinstance(looks, list) and all(type(look) is int for look in looks)
    if not whole or not looks or looks[0] < 2 or looks != sorted(set(looks)):
        raise UserError(
            "looks must be increasing whole numbers of seeds, 2 or more, such as "
            f"'looks=[8,12,16]', got {text}"
        )
    return tuple(looks)
