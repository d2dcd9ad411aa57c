"""Metrics of embeddings: retrieval of samples of the same class, and silhouette."""

import torch
from sklearn.metrics import silhouette_samples
from torch import Tensor
from torch.nn.functional import normalize

CHUNK = 2**24
SILHOUETTE_SAMPLES = 2000


def retrieval(
    embeddings: Tensor, labels: Tensor, queries: Tensor | None = None
) -> dict[str, Tensor]:
    r"""Compute Recall@1 and MAP@R of each sample as a query among all others.

    Neighbours are ranked by cosine similarity. If R other samples have the query's class, and
    :math:`P(i)` is the share of that class among the i nearest neighbours,

    .. math:: \mathrm{MAP@R} = \frac{1}{R} \sum_{i=1}^{R} P(i)\, [\text{the i-th is of its class}]

    Recall@1 is 1 if the nearest neighbour has the query's class, else 0.

    Args:
        embeddings: (N, D), or (N, *), which is flattened.
        labels: class indices (N,).
        queries: boolean (N,), which samples are queries; by default all.

    Returns:
        ``recall_at_1`` and ``map_at_r``, each (N,); NaN for samples that are not queries or are
        alone in their class. :func:`mean_of_known` averages them.

    Source:
        Musgrave, Belongie and Lim, "A Metric Learning Reality Check", 2020.

    Example:
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.8, 0.2]])
        >>> retrieval(embeddings, torch.tensor([0, 0, 1, 1]))["recall_at_1"]
        tensor([1., 1., 1., 0.])
    """
    rows = normalize(embeddings.flatten(1).float())
    others = torch.bincount(labels)[labels] - 1
    asking = others > 0 if queries is None else queries & (others > 0)
    index = asking.nonzero().flatten()
    values = {name: rows.new_full((len(rows),), torch.nan) for name in ("recall_at_1", "map_at_r")}
    if not len(index):
        return values
    found = [
        _hits(rows, labels, part, int(others.max()))
        for part in torch.split(index, max(1, CHUNK // len(rows)))
    ]
    hits = torch.cat(found)
    ranks = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    precision = hits.cumsum(dim=1) / ranks
    counted = hits * (ranks <= others[index].unsqueeze(1))
    values["recall_at_1"][index] = hits[:, 0]
    values["map_at_r"][index] = (precision * counted).sum(dim=1) / others[index]
    return values


def mean_of_known(values: Tensor) -> Tensor:
    """Average the values that are not NaN; 0 if all are.

    Example:
        >>> mean_of_known(torch.tensor([1.0, torch.nan, 0.0])).item()
        0.5
    """
    asked = values[~values.isnan()]
    return asked.mean() if len(asked) else values.new_zeros(())


def silhouette(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the silhouette of each sample among the normalised embeddings, from -1 to 1.

    Only the first 2,000 samples are used.

    Args:
        embeddings: (N, D), or (N, *), which is flattened.
        labels: class indices (N,).

    Returns:
        One value per sample, (N,), NaN for those that are not used; all are NaN if the samples have
        one class or each its own. :func:`mean_silhouette` averages them.

    Source:
        Rousseeuw, "Silhouettes: a Graphical Aid to the Interpretation and Validation of Cluster
        Analysis", 1987.
    """
    rows = normalize(embeddings[:SILHOUETTE_SAMPLES].flatten(1).float()).cpu()
    classes = labels[:SILHOUETTE_SAMPLES].cpu()
    values = rows.new_full((len(embeddings),), torch.nan)
    if 1 < len(set(classes.tolist())) < len(classes):
        found = silhouette_samples(rows.numpy(), classes.numpy())
        values[: len(rows)] = torch.from_numpy(found)
    return values


def mean_silhouette(values: Tensor) -> Tensor:
    """Average the silhouettes that are not NaN, with scikit-learn's rounding; 0 if all are."""
    known = values[~values.isnan()].numpy()
    return torch.tensor(float(known.mean()) if len(known) else 0.0)


def _hits(rows: Tensor, labels: Tensor, queries: Tensor, most: int) -> Tensor:
    """Return whether the nearest others have the query's class, (len(queries), most)."""
    nearness = rows[queries] @ rows.T
    nearness[torch.arange(len(queries), device=rows.device), queries] = -torch.inf
    nearest = nearness.topk(most, dim=1).indices
    return (labels[nearest] == labels[queries].unsqueeze(1)).float()
