"""Losses of a batch of pairs of embeddings, from the similarities of all first and second parts.

Similarities are ``(N, N)``, a row per first part. The mask ``same`` says which parts belong
together: those of a pair, and those of pairs with equal labels. It is symmetric.
"""

from torch import Tensor
from torch.nn import functional as F


def info_nce(logits: Tensor, same: Tensor) -> Tensor:
    r"""Compute the symmetric cross-entropy ``(N,)`` of each pair among all pairs of the batch.

    .. math:: \ell_i = -\frac{1}{2 |P_i|} \sum_{j \in P_i}
        \log\frac{e^{z_{ij}}}{\sum_k e^{z_{ik}}} + \log\frac{e^{z_{ji}}}{\sum_k e^{z_{ki}}}
    """
    weights = same.to(logits.dtype)
    share = weights / weights.sum(dim=1, keepdim=True)
    to_second = share * logits.log_softmax(dim=1)
    to_first = share * logits.mT.log_softmax(dim=1)
    return -(to_second + to_first).sum(dim=1) / 2


def siglip(logits: Tensor, same: Tensor) -> Tensor:
    r"""Compute the binary cross-entropies of each first part with all second parts, ``(N,)``.

    .. math:: \ell_i = -\sum_j \log \sigma(\pm z_{ij}), \quad + \text{ where they belong together}
    """
    return -F.logsigmoid(logits.where(same, -logits)).sum(dim=1)
