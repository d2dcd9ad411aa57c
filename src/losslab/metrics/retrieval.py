"""Metrics of embeddings: retrieval of samples of the same class, and silhouette."""

import torch
from sklearn.metrics import silhouette_score
from torch import Tensor
from torch.nn.functional import normalize

CHUNK = 2**24
SILHOUETTE_SAMPLES = 2000


def retrieval(
    embeddings: Tensor, labels: Tensor, queries: Tensor | None = None
) -> dict[str, Tensor]:
    r"""Compute Recall@1 and MAP@R, with each sample as a query among all others.

    Neighbours are ranked by cosine similarity. If R other samples have the query's class, and
    :math:`P(i)` is the share of that class among the i nearest neighbours,

    .. math:: \mathrm{MAP@R} = \frac{1}{R} \sum_{i=1}^{R} P(i)\, [\text{the i-th is of its class}]

    Recall@1 is the share of queries whose nearest neighbour has their class. Queries that are alone
    in their class are left out; if no others are left, both metrics are 0.

    Args:
        embeddings: (N, D), or (N, *), which is flattened.
        labels: class indices (N,).
        queries: boolean (N,), which samples are queries; by default all.

    Returns:
        ``recall_at_1`` and ``map_at_r``.

    Source:
        Musgrave, Belongie and Lim, "A Metric Learning Reality Check", 2020.

    Example:
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.8, 0.2]])
        >>> retrieval(embeddings, torch.tensor([0, 0, 1, 1]))["recall_at_1"].item()
        0.75
    """
    rows = normalize(embeddings.flatten(1).float())
    others = torch.bincount(labels)[labels] - 1
    asking = others > 0 if queries is None else queries & (others > 0)
    index = asking.nonzero().flatten()
    if not len(index):
        return {"recall_at_1": rows.new_zeros(()), "map_at_r": rows.new_zeros(())}
    found = [
        _hits(rows, labels, part, int(others.max()))
        for part in torch.split(index, max(1, CHUNK // len(rows)))
    ]
    hits = torch.cat(found)
    ranks = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    precision = hits.cumsum(dim=1) / ranks
    counted = hits * (ranks <= others[index].unsqueeze(1))
    return {
        "recall_at_1": hits[:, 0].mean(),
        "map_at_r": ((precision * counted).sum(dim=1) / others[index]).mean(),
    }


def silhouette(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the mean silhouette of the normalised embeddings, from -1 to 1.

    Only the first 2,000 samples are used. It is 0 if all have the same or all a different class.

    Args:
        embeddings: (N, D), or (N, *), which is flattened.
        labels: class indices (N,).

    Source:
        Rousseeuw, "Silhouettes: a Graphical Aid to the Interpretation and Validation of Cluster
        Analysis", 1987.
    """
    rows = normalize(embeddings[:SILHOUETTE_SAMPLES].flatten(1).float()).cpu()
    classes = labels[:SILHOUETTE_SAMPLES].cpu()
    if not 1 < len(set(classes.tolist())) < len(classes):
        return torch.zeros(())
    return torch.tensor(float(silhouette_score(rows.numpy(), classes.numpy())))


def _hits(rows: Tensor, labels: Tensor, queries: Tensor, most: int) -> Tensor:
    """Return whether the nearest others have the query's class, (len(queries), most)."""
    nearness = rows[queries] @ rows.T
    nearness[torch.arange(len(queries), device=rows.device), queries] = -torch.inf
    nearest = nearness.topk(most, dim=1).indices
    return (labels[nearest] == labels[queries].unsqueeze(1)).float()
