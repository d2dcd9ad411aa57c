"""Metrics of embeddings: retrieval within one kind or across two, and silhouette."""

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

CHUNK = 2**24
SILHOUETTE_SAMPLES = 2000
RESOLUTION = 2.0**-44
"""Difference of cosines within which two neighbours are equally near: equal rows differ by less."""


def retrieval(
    embeddings: Tensor, labels: Tensor, queries: Tensor | None = None
) -> dict[str, Tensor]:
    r"""Compute Recall@1 and MAP@R of each sample as a query among all others.

    Neighbours are ranked by cosine similarity, in float64, since embeddings that are close to each
    other have equal ones in float32. Equally near neighbours count with the mean over their orders,
    so that embeddings that are all equal have the values of chance. If R other samples have the
    query's class, and :math:`P(i)` is the share of that class among the i nearest neighbours,

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
        tensor([1., 1., 1., 0.], dtype=torch.float64)
    """
    rows = normalize(embeddings.flatten(1).double())
    others = torch.bincount(labels)[labels] - 1
    asking = others > 0 if queries is None else queries & (others > 0)
    index = asking.nonzero().flatten()
    values = {name: rows.new_full((len(rows),), torch.nan) for name in ("recall_at_1", "map_at_r")}
    if not len(index):
        return values
    for part in torch.split(index, max(1, CHUNK // len(rows))):
        hit, precision = _expected_hits(rows, labels, part, int(others.max()))
        ranks = torch.arange(1, hit.shape[1] + 1, device=hit.device)
        counted = hit * (ranks <= others[part].unsqueeze(1))
        values["recall_at_1"][part] = hit[:, 0]
        values["map_at_r"][part] = (precision * counted).sum(dim=1) / others[part]
    return values


def recall_across(queries: Tensor, candidates: Tensor, labels: Tensor) -> Tensor:
    """Compute Recall@1 of each query among candidates of another kind, such as texts for images.

    The nearest candidate is the one of the largest cosine similarity, in float64; of equally near
    ones, the share that has the query's label counts.

    Args:
        queries: (N, D).
        candidates: (N, D), of the same labels as the queries.
        labels: integers (N,).

    Returns:
        (N,), from 0 to 1.

    Example:
        >>> images, texts = torch.eye(3), torch.eye(3)[[0, 2, 2]]
        >>> recall_across(images, texts, torch.tensor([4, 5, 6]))  # second image: all are 0 alike
        tensor([1.0000, 0.3333, 0.5000], dtype=torch.float64)
    """
    rows, others = (normalize(each.double()) for each in (queries, candidates))
    values = []
    for part in torch.arange(len(rows), device=rows.device).split(max(1, CHUNK // len(rows))):
        nearness = (rows[part] @ others.T / RESOLUTION).round()
        nearest = nearness == nearness.amax(dim=1, keepdim=True)
        right = nearest & (labels[part].unsqueeze(1) == labels)
        values.append(right.sum(dim=1) / nearest.sum(dim=1).double())
    return torch.cat(values)


def mean_of_known(values: Tensor) -> Tensor:
    """Average the values that are not NaN; NaN if all are.

    Example:
        >>> mean_of_known(torch.tensor([1.0, torch.nan, 0.0])).item()
        0.5
    """
    return values.nanmean()


def silhouette(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the silhouette of each sample among the normalised embeddings, from -1 to 1.

    Only the first 2,000 samples are used.

    Args:
        embeddings: (N, D), or (N, *), which is flattened.
        labels: class indices (N,).

    Returns:
        One value per sample, (N,), NaN for those that are not used; all are NaN if the samples have
        one class or each its own. :func:`mean_of_known` averages them.

    Source:
        Rousseeuw, "Silhouettes: a Graphical Aid to the Interpretation and Validation of Cluster
        Analysis", 1987.
    """
    rows = normalize(embeddings[:SILHOUETTE_SAMPLES].flatten(1).double()).cpu()
    classes = labels[:SILHOUETTE_SAMPLES].cpu()
    values = rows.new_full((len(embeddings),), torch.nan)
    if 1 < len(set(classes.tolist())) < len(classes):
        from sklearn.metrics import silhouette_samples  # noqa: PLC0415 (half a second)

        # from differences, so that equal embeddings have distance 0
        distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
        found = silhouette_samples(distances.numpy(), classes.numpy(), metric="precomputed")
        values[: len(rows)] = torch.from_numpy(found)
    return values


def _expected_hits(
    rows: Tensor, labels: Tensor, queries: Tensor, most: int
) -> tuple[Tensor, Tensor]:
    """Compute the chance that a neighbour has the query's class, and the precision if it has.

    Returns:
        Both for the nearest, the second nearest ... neighbour, each (len(queries), most).
    """
    nearness = (rows[queries] @ rows.T / RESOLUTION).round()
    nearness[torch.arange(len(queries), device=rows.device), queries] = -torch.inf
    near, index = nearness.topk(most + 1, dim=1)  # one more, which may be as near as the last
    same = labels == labels[queries].unsqueeze(1)
    found = same.gather(1, index[:, :most]).double()
    if bool((near[:, 1:] == near[:, :-1]).any()):
        last = nearness == near[:, most - 1 : most]
        ends = last.sum(dim=1, keepdim=True), (last & same).sum(dim=1, keepdim=True)
        return _averaged_over_ties(near[:, :most], found, *ends)
    return found, found.cumsum(dim=1) / torch.arange(1, most + 1, device=rows.device)


def _averaged_over_ties(
    near: Tensor, found: Tensor, last_size: Tensor, last_hits: Tensor
) -> tuple[Tensor, Tensor]:
    """Average over the orders of equally near neighbours.

    If h of m have the class, each place among them has it with probability h / m, and if so, a
    place before it with probability (h - 1) / (m - 1).

    Args:
        near: how near the nearest neighbours are, decreasing, (q, most).
        found: whether they have the query's class.
        last_size: number of neighbours that are as near as the last one, of all, (q, 1).
        last_hits: number of these that have the class.
    """
    group = pad((near[:, 1:] < near[:, :-1]).cumsum(dim=1), (1, 0))
    empty = torch.zeros_like(near)
    size, hits = (empty.scatter_add(1, group, each) for each in (torch.ones_like(near), found))
    before, hits_before = (each.cumsum(dim=1) - each for each in (size, hits))
    size.scatter_(1, group[:, -1:], last_size.double())
    hits.scatter_(1, group[:, -1:], last_hits.double())
    size, hits, before, hits_before = (
        each.gather(1, group) for each in (size, hits, before, hits_before)
    )
    ranks = torch.arange(1, near.shape[1] + 1, device=near.device)
    earlier = (ranks - before - 1) * (hits - 1).clamp(min=0) / (size - 1).clamp(min=1)
    return hits / size, (hits_before + 1 + earlier) / ranks
