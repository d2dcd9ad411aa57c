"""Weights, data and batches of a seed are, to the bit, those that version 0.1 drew.

``hashes.json`` was written by that version and is never written anew: a record's hashes are what
runs of different versions are paired by.
"""

import json
from pathlib import Path

import pytest

from losslab.components import build_components
from losslab.config.expansion import complete
from losslab.config.jobs import compose_jobs

HASHES = json.loads((Path(__file__).parent / "hashes.json").read_text())


def hashes_of(loss: str) -> dict[str, str]:
    """Return what a record of ``loss=<loss> seed=3`` says of its weights, data and batches."""
    [job] = compose_jobs([complete([f"loss={loss}", "seed=3"])])
    components = build_components(job.config)
    return {
        "weights": components.weights_hash,
        "data": components.data.fingerprint(),
        "batches": components.data.order_fingerprint(),
    }


@pytest.mark.parametrize("loss", sorted(HASHES))
def test_a_seed_draws_what_it_always_drew(loss: str) -> None:
    assert hashes_of(loss) == HASHES[loss]
