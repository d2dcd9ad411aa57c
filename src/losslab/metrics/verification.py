"""Metrics of verification: do two samples have the same identity?"""

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from losslab.metrics.retrieval import RESOLUTION

SAMPLES = 2000
FALSE_ACCEPT_RATES = {"tar_at_far_1e-2": 1e-2, "tar_at_far_1e-3": 1e-3}


def verification(embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
    r"""Compute how well a threshold on the cosine similarity tells pairs of one identity.

    Of all pairs of samples, those whose similarity is at least the threshold are accepted, equally
    similar ones together. The false accept rate (FAR) is the share accepted of the pairs of two
    identities, the true accept rate (TAR) that of the pairs of one identity. Distances between
    embeddings of length 1 order pairs as the cosine does.

    Args:
        embeddings: (N, D), or (N, *), which is flattened. Only the first 2,000 are used.
        labels: identities (N,).

    Returns:
        ``eer``, the equal error rate, which is FAR and 1 - TAR where these are equal, on straight
        lines between the thresholds; ``tar_at_far_1e-2`` and ``tar_at_far_1e-3``, the highest TAR
        of the thresholds with at most this FAR. They are NaN without pairs of either kind, and TAR
        at a FAR of f also with fewer than 1 / f pairs of two identities, which cannot measure it.

    Source:
        Huang, Ramesh, Berg and Learned-Miller, "Labeled Faces in the Wild", 2007; ISO/IEC 19795-1,
        "Biometric performance testing and reporting", 2021.

    Example:
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
        >>> verification(embeddings, torch.tensor([0, 0, 1, 1]))["eer"].item()
        0.0
    """
    rows = normalize(embeddings[:SAMPLES].flatten(1).double())
    first, second = torch.triu_indices(len(rows), len(rows), offset=1, device=rows.device)
    # equal embeddings are equally similar, see RESOLUTION
    similarity = (rows @ rows.T / RESOLUTION).round()[first, second]
    same = labels[first] == labels[second]
    pairs_of_one, pairs_of_two = similarity[same], similarity[~same]
    unknown = rows.new_full((), torch.nan)
    if not len(pairs_of_one) or not len(pairs_of_two):
        return dict.fromkeys(("eer", *FALSE_ACCEPT_RATES), unknown)
    far, tar = _accept_rates(pairs_of_one, pairs_of_two)
    values = {"eer": _equal_error_rate(far, tar)}
    for name, rate in FALSE_ACCEPT_RATES.items():
        measured = rate * len(pairs_of_two) >= 1
        values[name] = tar[far <= rate][-1] if measured else unknown
    return values


def _accept_rates(positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """Compute FAR and TAR for every threshold, from one that accepts nothing to the lowest score.

    Args:
        positive: scores of the pairs to accept, (P,).
        negative: scores of the pairs to reject, (Q,).
    """
    scores, order = torch.cat([positive, negative]).sort(descending=True)
    right = order < len(positive)
    last = pad(scores[1:] < scores[:-1], (0, 1), value=True)  # of equal scores
    tar = right.cumsum(dim=0)[last].double() / len(positive)
    far = (~right).cumsum(dim=0)[last].double() / len(negative)
    return pad(far, (1, 0)), pad(tar, (1, 0))


def _equal_error_rate(far: Tensor, tar: Tensor) -> Tensor:
    """Compute the FAR that equals 1 - TAR, on straight lines between the thresholds."""
    excess = far + tar - 1  # rises from -1 to 1
    above = (excess < 0).sum()
    below = above - 1
    part = -excess[below] / (excess[above] - excess[below])
    return far[below] + part * (far[above] - far[below])
