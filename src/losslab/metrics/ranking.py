"""Metrics of rankings: how many of the relevant documents are among the first, and how high."""

import torch
from torch import Tensor
from torch.nn.functional import pad

CHUNK = 2**24
"""Number of scores that are sorted at once."""


def ndcg(scores: Tensor, gains: Tensor, counted: Tensor | None = None, k: int = 10) -> Tensor:
    r"""Compute the normalized discounted cumulative gain of the first k documents of each query.

    With :math:`g_j` the gain of the document in place j by decreasing score,

    .. math:: \mathrm{NDCG@k} = \frac{\mathrm{DCG}}{\max \mathrm{DCG}}, \quad
        \mathrm{DCG} = \sum_{j=1}^{k} \frac{g_j}{\log_2(j + 1)}

    where the maximum is over all orders. Documents with equal scores count with the mean over their
    orders.

    Args:
        scores: ``(Q, D)``.
        gains: ``(Q, D)``, at least 0, such as :math:`2^\mathrm{grade} - 1`.
        counted: which documents are not padding, boolean ``(Q, D)``; all by default.
        k: number of documents.

    Returns:
        ``(Q,)`` float64; NaN for queries without a gain or with a score that is NaN.

    Source:
        Järvelin and Kekäläinen, "Cumulated Gain-Based Evaluation of IR Techniques", 2002.

    Example:
        >>> ndcg(torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[0, 1, 0]]), k=2)
        tensor([0.6309], dtype=torch.float64)
    """
    gains = _of_counted(gains, counted)
    found, ideal = _first(scores, gains, counted, k), _first(gains, gains, counted, k)
    discount = 1 / torch.arange(2, found.shape[1] + 2, device=found.device).double().log2()
    return (found * discount).sum(dim=1) / (ideal * discount).sum(dim=1)


def recall(scores: Tensor, relevant: Tensor, counted: Tensor | None = None, k: int = 10) -> Tensor:
    r"""Compute the share of the relevant documents of each query that are among its first k.

    .. math:: \mathrm{recall@k} = \frac{|\{\text{relevant}\} \cap \{\text{first } k\}|}
        {|\{\text{relevant}\}|}

    With more than k relevant documents it stays below 1. Documents with equal scores count with the
    mean over their orders.

    Args:
        scores: ``(Q, D)``.
        relevant: boolean ``(Q, D)``.
        counted: which documents are not padding, boolean ``(Q, D)``; all by default.
        k: number of documents.

    Returns:
        ``(Q,)`` float64; NaN for queries without a relevant document or with a score that is NaN.

    Example:
        >>> relevant = torch.tensor([[True, False, True]])
        >>> recall(torch.tensor([[3.0, 2.0, 1.0]]), relevant, k=2)
        tensor([0.5000], dtype=torch.float64)
    """
    relevant = _of_counted(relevant, counted)
    return _first(scores, relevant, counted, k).sum(dim=1) / relevant.sum(dim=1)


def _of_counted(values: Tensor, counted: Tensor | None) -> Tensor:
    values = values.double()
    return values if counted is None else values.where(counted, 0)


def _first(scores: Tensor, values: Tensor, counted: Tensor | None, k: int) -> Tensor:
    """Return the values of the first k documents by decreasing score, ``(Q, k)`` float64.

    Documents with equal scores have the mean of their values.
    """
    scores = scores.double()
    unknown = scores.isnan()
    if counted is not None:
        unknown, scores = unknown & counted, scores.where(counted, -torch.inf)
    rows = max(1, CHUNK // max(1, scores.shape[1]))
    parts = zip(scores.split(rows), values.split(rows), strict=True)
    first = torch.cat([_averaged_over_ties(*part, k) for part in parts])
    return first.where(~unknown.any(dim=1, keepdim=True), torch.nan)


def _averaged_over_ties(scores: Tensor, values: Tensor, k: int) -> Tensor:
    ordered, index = scores.sort(dim=1, descending=True)
    group = pad((ordered[:, 1:] < ordered[:, :-1]).cumsum(dim=1), (1, 0))
    empty = torch.zeros_like(values)
    size = empty.scatter_add(1, group, torch.ones_like(values))
    total = empty.scatter_add(1, group, values.gather(1, index))
    return (total / size.clamp(min=1)).gather(1, group[:, :k])
