"""Values of the metrics from elsewhere: scikit-learn, SciPy, torchmetrics, or brute force.

Each reference takes a case, logits with labels, and returns what the metric of the same name has to
return for it; ``ValueError`` if it has to refuse the case. All of them compute in float64, from the
numbers that the metric was given.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import torch
from scipy import special, stats
from scipy.linalg import sqrtm
from scipy.optimize import brentq
from scipy.spatial.distance import cdist
from sklearn import metrics as sk
from torch import Tensor
from torchmetrics.functional.text import char_error_rate

from losslab.metrics import (
    boxes,
    classes,
    clouds,
    decisions,
    detection,
    overlap,
    probability,
    ranking,
    retrieval,
    samples,
    text,
    verification,
    weights,
)


@dataclass(frozen=True)
class Case:
    """Logits (N, C) of a dtype and labels (N,); N is divisible by 4, unless it is 1."""

    logits: Tensor
    labels: Tensor

    @property
    def z(self) -> np.ndarray:
        """The logits as float64."""
        return self.logits.double().numpy()

    @property
    def y(self) -> np.ndarray:
        """The labels."""
        return self.labels.numpy()

    @property
    def hot(self) -> np.ndarray:
        """One-hot labels, boolean (N, C)."""
        return self.y[:, None] == np.arange(self.z.shape[1])

    @property
    def guess(self) -> np.ndarray:
        """Predicted classes, boolean (N, C)."""
        return self.z.argmax(axis=1)[:, None] == np.arange(self.z.shape[1])

    @property
    def odds(self) -> np.ndarray:
        """Log-odds of the classes by softmax, rounded so that ties are ties, (N, C)."""
        rest = [np.delete(self.z, c, axis=1) for c in range(self.z.shape[1])]
        odds = self.z - np.stack([special.logsumexp(each, axis=1) for each in rest], axis=1)
        return odds.astype(np.float32).astype(float)

    def images(self, values: Any) -> Any:
        """Arrange values (N, C) as images (N / 4, C, 2, 2), or (1, C, 1, 1) for one sample."""
        side = 2 if len(values) > 1 else 1
        return values.reshape(-1, side, side, values.shape[1]).swapaxes(1, 3)

    def clouds(self) -> tuple[Tensor, Tensor]:
        """Two clouds of points from the logits and the labels, (1, N, 2)."""
        return self.logits[None, :, :2], self.logits[None, :, :2].flip(1) + self.labels[:, None] / 2


Function = Callable[[Case], Any]
REFERENCES: dict[Callable[..., Any], tuple[Function, Function]] = {}
"""For each metric how it is called for a case, and its reference."""


def reference_of(metric: Callable[..., Any], call: Function) -> Callable[[Function], Function]:
    def keep(reference: Function) -> Function:
        REFERENCES[metric] = call, reference
        return reference

    return keep


def tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


# --- classes --------------------------------------------------------------------------------------


@reference_of(classes.membership, lambda c: classes.membership(c.labels, c.logits.shape[1]))
def membership(case):
    return case.hot


def guess_and_truth(case: Case) -> tuple[Tensor, Tensor]:
    return tensor(case.guess), tensor(case.hot)


@reference_of(classes.f1_macro, lambda c: classes.f1_macro(*guess_and_truth(c)))
def f1_macro(case):
    return sk.f1_score(case.y, case.z.argmax(axis=1), average="macro")


@reference_of(classes.recall, lambda c: classes.recall(*guess_and_truth(c)))
def recall(case):
    options = {"labels": range(case.z.shape[1]), "average": None, "zero_division": np.nan}
    return sk.recall_score(case.y, case.z.argmax(axis=1), **options)


@reference_of(classes.margins, lambda c: classes.margins(c.logits))
def margins(case):
    others = [np.delete(case.z, c, 1).max(axis=1) for c in range(case.z.shape[1])]
    return case.z - np.stack(others, axis=1)


def order(case: Case) -> Tensor:
    return probability.log_odds(case.logits, "softmax")


@reference_of(classes.auroc_macro, lambda c: classes.auroc_macro(order(c), tensor(c.hot)))
def auroc_macro(case):
    pairs = zip(case.hot.T, case.odds.T, strict=True)
    areas = [sk.roc_auc_score(hot, odds) for hot, odds in pairs if hot.any() and not hot.all()]
    return np.mean(areas) if areas else np.nan


@reference_of(
    classes.average_precision, lambda c: classes.average_precision(order(c), tensor(c.hot))
)
def average_precision(case):
    pairs = zip(case.hot.T, case.odds.T, strict=True)
    return [sk.average_precision_score(*pair) if pair[0].any() else np.nan for pair in pairs]


def confidence(case: Case) -> np.ndarray:
    return special.softmax(case.z, axis=1).max(axis=1)


@reference_of(
    classes.calibration_error,
    lambda c: classes.calibration_error(tensor(confidence(c)), tensor(right(c))),
)
def calibration_error(case):
    found = np.minimum((confidence(case) * 15 + 1e-9).astype(int), 14)
    gaps = right(case) - confidence(case)
    return sum(abs(gaps[found == each].sum()) for each in range(15)) / len(gaps)


def right(case: Case) -> np.ndarray:
    return case.z.argmax(axis=1) == case.y


# --- decisions ------------------------------------------------------------------------------------


@reference_of(
    decisions.binary_f1,
    lambda c: decisions.binary_f1(tensor(c.guess[:, 3]), tensor(c.hot[:, 3])),
)
def binary_f1(case):
    return sk.f1_score(case.hot[:, 3], case.guess[:, 3], zero_division=np.nan)


def f1_at_best_threshold(case: Case) -> Tensor:
    score, truth = order(case)[:, 3], tensor(case.hot[:, 3])
    return decisions.binary_f1(score >= decisions.best_f1_threshold(score, truth), truth)


@reference_of(decisions.best_f1_threshold, f1_at_best_threshold)
def best_f1_threshold(case):
    score, truth = case.odds[:, 3], case.hot[:, 3]
    return max(sk.f1_score(truth, score >= each, zero_division=np.nan) for each in score)


@reference_of(decisions.first_best, lambda c: decisions.first_best(c.logits[:, 0].double()))
def first_best(case):
    return case.z[:, 0].argmax()


# --- probabilities --------------------------------------------------------------------------------

LINKS = ("softmax", "sigmoid")


@reference_of(
    probability.to_probability, lambda c: [probability.to_probability(c.logits, k) for k in LINKS]
)
def to_probability(case):
    return [special.softmax(case.z, axis=1), special.expit(case.z)]


@reference_of(probability.log_odds, lambda c: [probability.log_odds(c.logits, k) for k in LINKS])
def log_odds(case):
    return [case.odds, case.z]


@reference_of(
    probability.brier_score,
    lambda c: [
        probability.brier_score(probability.to_probability(c.logits, k), tensor(c.hot).double())
        for k in LINKS
    ],
)
def brier_score(case):
    return [((each - case.hot) ** 2).sum(axis=1) for each in to_probability(case)]


@reference_of(
    probability.predictive_entropy,
    lambda c: [probability.predictive_entropy(c.logits, k) for k in LINKS],
)
def predictive_entropy(case):
    p, q = special.expit(case.z), special.expit(-case.z)
    return [
        stats.entropy(special.softmax(case.z, axis=1), axis=1),
        (special.entr(p) + special.entr(q)).sum(axis=1),
    ]


@reference_of(
    probability.negative_log_likelihood,
    lambda c: [probability.negative_log_likelihood(c.logits, tensor(c.hot), k) for k in LINKS],
)
def negative_log_likelihood(case):
    with mpmath.workdps(60):
        totals = [mpmath.fsum(mpmath.exp(value) for value in row) for row in case.z.tolist()]
        own = [row[label] for row, label in zip(case.z.tolist(), case.y, strict=True)]
        softmax = [float(mpmath.log(total) - z) for total, z in zip(totals, own, strict=True)]
    return [softmax, np.logaddexp(0, case.z * (1 - 2 * case.hot)).sum(axis=1)]


def shares(case: Case) -> np.ndarray:
    """Shares of the classes in the training labels, of which the last has none."""
    return np.append(np.linspace(1, 2, case.z.shape[1] - 1), 0) / 1.5 / (case.z.shape[1] - 1)


@reference_of(
    probability.log_likelihood,
    lambda c: [probability.log_likelihood(c.logits, c.labels, k) for k in LINKS],
)
def log_likelihood(case):
    own = np.arange(len(case.y)), case.y
    log = -np.logaddexp(0, -case.z)
    softmax = -np.array(negative_log_likelihood(case)[0])
    return [softmax, log[own] - special.logsumexp(log, axis=1)]


@reference_of(
    probability.information_gain,
    lambda c: probability.information_gain(
        probability.log_likelihood(c.logits, c.labels, "softmax"), tensor(shares(c))[c.labels].log()
    ),
)
def information_gain(case):
    with np.errstate(divide="ignore"):
        guessed = np.log2(shares(case)[case.y])
    gain = -np.array(negative_log_likelihood(case)[0]) / np.log(2) - guessed
    return np.where(np.isinf(guessed), np.nan, gain)


@reference_of(
    probability.fit_temperature,
    lambda c: [probability.fit_temperature(c.logits, tensor(c.hot).long(), k)[1] for k in LINKS],
)
def fit_temperature(case):
    """Try 1 / T on a grid, then on a finer one around the best."""

    def softmax(scale: float) -> float:
        return -special.log_softmax(case.z * scale, axis=1)[case.hot].mean()

    def sigmoid(scale: float) -> float:
        return np.logaddexp(0, case.z * scale * (1 - 2 * case.hot)).sum(axis=1).mean()

    coarse = [0, *np.geomspace(1e-8, 1e3, 400)]
    around = [min(coarse, key=nll) * np.linspace(0.9, 1.1, 200) for nll in (softmax, sigmoid)]
    return [min(map(nll, each)) for nll, each in zip((softmax, sigmoid), around, strict=True)]


# --- masks ----------------------------------------------------------------------------------------


def masks(case: Case) -> tuple[np.ndarray, np.ndarray]:
    return case.images(case.guess), case.images(case.hot)


def overlaps(case: Case) -> dict[str, Tensor]:
    return overlap.per_image(*map(tensor, masks(case)))


@reference_of(overlap.per_image, lambda c: list(overlaps(c).values()))
def per_image(case):
    scores = (sk.jaccard_score, sk.f1_score, sk.precision_score, sk.recall_score)
    values = np.full((4, *masks(case)[0].shape[:2]), np.nan)
    for place in np.ndindex(values.shape[1:]):
        guess, truth = (each[place].ravel() for each in masks(case))
        if guess.any() or truth.any():
            found = [score(truth, guess, zero_division=0) for score in scores]
            values[(slice(None), *place)] = [*found[:3], found[3] if truth.any() else np.nan]
    return values


@reference_of(overlap.mean_of_classes, lambda c: overlap.mean_of_classes(overlaps(c)["dice"]))
def mean_of_classes(case):
    columns = per_image(case)[1].T
    means = [column[~np.isnan(column)].mean() for column in columns if not np.isnan(column).all()]
    return np.mean(means)


@reference_of(
    overlap.average_precision,
    lambda c: overlap.average_precision(c.images(order(c)), tensor(masks(c)[1])),
)
def average_precision_of_pixels(case):
    return np.nanmean(average_precision(case))


@reference_of(overlap.small_objects, lambda c: overlap.small_objects(tensor(masks(c)[1])))
def small_objects(case):
    sizes = masks(case)[1].sum(axis=(2, 3))
    small = np.zeros(sizes.shape, dtype=bool)
    for own, size in zip(small.T, sizes.T, strict=True):
        real = np.sort(size[size > 0])
        if len(real):
            own[:] = (size > 0) & (size <= real[(len(real) - 1) // 4])
    return small


@reference_of(overlap.squashed, lambda c: overlap.squashed(c.logits).flatten().argsort(stable=True))
def squashed(case):
    return case.z.ravel().argsort(kind="stable")


# --- point clouds ---------------------------------------------------------------------------------


def between(case: Case) -> np.ndarray:
    (first,), (second,) = (each.double().numpy() for each in case.clouds())
    return cdist(first, second)


@reference_of(clouds.f_score, lambda c: clouds.f_score(*c.clouds(), threshold=1.3))
def f_score(case):
    precision, found = ((between(case).min(axis=axis) <= 1.3).mean() for axis in (1, 0))
    return [2 * precision * found / (precision + found) if precision + found else 0.0]


def covers(case: Case) -> Tensor:
    """Return whether what is covered includes each point that is alone nearest, and no other."""
    covered = clouds.covered_points(*case.clouds())[0].bool().numpy()
    nearest = np.isclose(between(case), between(case).min(axis=1, keepdims=True), rtol=1e-6)
    alone = nearest[nearest.sum(axis=1) == 1].any(axis=0)
    return bool((covered >= alone).all() and (covered <= nearest.any(axis=0)).all())


@reference_of(clouds.covered_points, covers)
def covered_points(case):
    return True


# --- embeddings -----------------------------------------------------------------------------------


def some_embeddings(case: Case) -> tuple[Tensor, Tensor]:
    return case.logits[:6], case.labels[:6] % 2


def rows(case: Case) -> np.ndarray:
    embeddings = some_embeddings(case)[0].double().numpy()
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


@reference_of(
    retrieval.retrieval, lambda c: list(retrieval.retrieval(*some_embeddings(c)).values())
)
def retrieved(case):
    """Average over all orders of equally near neighbours."""
    nearness, labels = np.round(rows(case) @ rows(case).T, 12), some_embeddings(case)[1].tolist()
    values = np.full((2, len(labels)), np.nan)
    for query, label in enumerate(labels):
        others = [each for each in range(len(labels)) if each != query]
        count = sum(labels[each] == label for each in others)
        if count:
            found = []
            for arranged in itertools.permutations(others):
                nearest = sorted(arranged, key=lambda each, query=query: -nearness[query, each])
                hits = np.array([labels[each] == label for each in nearest])
                precision = hits.cumsum() / np.arange(1, len(hits) + 1)
                found.append([hits[0], (precision * hits)[:count].sum() / count])
            values[:, query] = np.mean(found, axis=0)
    return values


@reference_of(
    retrieval.recall_across,
    lambda c: (
        retrieval.recall_across(c.logits[::2], c.logits[1::2], c.labels[::2] % 2)
        if len(c.logits) > 1
        else retrieval.recall_across(c.logits, c.logits, c.labels)
    ),
)
def recalled(case):
    """The share of the right ones among the nearest, found by sorting."""
    even = len(case.z) > 1
    queries, candidates = (case.z[::2], case.z[1::2]) if even else (case.z, case.z)
    labels = case.y[::2] % 2 if even else case.y
    distances = np.round(cdist(queries, candidates, metric="cosine"), 12)
    values = []
    for row, label in zip(distances, labels, strict=True):
        nearest = [index for index in np.argsort(row) if row[index] == row.min()]
        values.append(np.mean([labels[index] == label for index in nearest]))
    return values


@reference_of(
    retrieval.mean_of_known,
    lambda c: retrieval.mean_of_known(retrieval.retrieval(*some_embeddings(c))["map_at_r"]),
)
def mean_of_known(case):
    known = retrieved(case)[1]
    return known[~np.isnan(known)].mean() if not np.isnan(known).all() else np.nan


@reference_of(retrieval.silhouette, lambda c: retrieval.silhouette(*some_embeddings(c)))
def silhouette(case):
    labels, distance = some_embeddings(case)[1].numpy(), cdist(rows(case), rows(case))
    if not 1 < len(set(labels)) < len(labels):
        return np.full(len(labels), np.nan)
    return sk.silhouette_samples(distance, labels, metric="precomputed")


def pairs(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosines of all pairs, and which pairs have one label."""
    first, second = np.triu_indices(len(case.y), 1)
    cosines = np.round(sk.pairwise.cosine_similarity(case.z), 12)
    return cosines[first, second], case.y[first] == case.y[second]


@reference_of(
    verification.verification,
    lambda c: list(verification.verification(c.logits, c.labels).values()),
)
def verified(case):
    cosines, same = pairs(case)
    if same.all() or not same.any():
        return [np.nan] * 3
    far, tar, _ = sk.roc_curve(same, cosines, drop_intermediate=False)
    place = np.arange(len(far))
    equal = brentq(lambda at: np.interp(at, place, far + tar - 1), 0, place[-1], xtol=1e-13)
    at = [tar[far <= f].max() if (~same).sum() * f >= 1 else np.nan for f in (0.01, 0.001)]
    return [np.interp(equal, place, far), *at]


# --- rankings -------------------------------------------------------------------------------------


def gains(case: Case) -> Tensor:
    """Return the gains of four documents per query; all are 0 if its label is 3."""
    return (case.labels[:, None] + torch.arange(4)) % 3 * (case.labels[:, None] != 3)


@reference_of(ranking.ndcg, lambda c: ranking.ndcg(c.logits, gains(c), k=3))
def ndcg(case):
    return [
        sk.ndcg_score([gained], [scores], k=3) if gained.any() else np.nan
        for scores, gained in zip(case.z, gains(case).numpy(), strict=True)
    ]


@reference_of(ranking.recall, lambda c: ranking.recall(c.logits, gains(c) > 0, k=2))
def recall_of_first(case):
    """Average over all orders of documents with equal scores."""
    values = []
    for scores, relevant in zip(case.z, (gains(case) > 0).numpy(), strict=True):
        orders = [
            sorted(arranged, key=lambda each, scores=scores: -scores[each])
            for arranged in itertools.permutations(range(4))
        ]
        found = np.mean([relevant[order[:2]].sum() for order in orders])
        values.append(found / relevant.sum() if relevant.any() else np.nan)
    return values


# --- samples, texts, weights ----------------------------------------------------------------------


def two_sets(case: Case) -> tuple[Tensor, Tensor]:
    return case.logits[::2], case.logits[1::2] + 0.5 * case.logits.abs().max()


@reference_of(samples.frechet_distance, lambda c: samples.frechet_distance(*two_sets(c)))
def frechet_distance(case):
    if len(case.z) < 4:
        return ValueError
    first, second = (each.double().numpy() for each in two_sets(case))
    covariances = [np.cov(each, rowvar=False) for each in (first, second)]
    root = sqrtm(covariances[0] @ covariances[1]).real
    shift = first.mean(axis=0) - second.mean(axis=0)
    return shift @ shift + np.trace(covariances[0] + covariances[1] - 2 * root)


def inside(points: Tensor, others: Tensor) -> np.ndarray:
    points, others = points.double().numpy(), others.double().numpy()
    radii = np.sort(cdist(others, others), axis=1)[:, 3]
    return (cdist(points, others) <= radii * (1 + 1e-9)).any(axis=1)


@reference_of(samples.inside_manifold, lambda c: samples.inside_manifold(*two_sets(c)))
def inside_manifold(case):
    return inside(*two_sets(case)) if len(case.z) > 4 else ValueError


@reference_of(samples.precision_recall, lambda c: samples.precision_recall(*two_sets(c)))
def precision_recall(case):
    if len(case.z) < 4:
        return ValueError
    real, fake = two_sets(case)
    return [inside(fake, real).mean(), inside(real, fake).mean()]


@reference_of(samples.covered_modes, lambda c: samples.covered_modes(c.labels - 1, 3, share=0.5))
def covered_modes(case):
    return sum((case.y == each).sum() >= max(1, len(case.y) / 6) for each in (1, 2, 3))


@reference_of(samples.sharpness, lambda c: samples.sharpness(c.images(c.logits.double())))
def sharpness(case):
    images = case.images(case.z)
    if images.shape[-1] == 1:
        return math.nan
    across, down = images[..., 1] - images[..., 0], images[..., 1, :] - images[..., 0, :]
    return (np.abs(across).mean() + np.abs(down).mean()) / 2


def box_pairs(case: Case, values: Any) -> tuple[Any, Any]:
    """Take the numbers as corners, ordered, of boxes and of the same boxes of other samples."""
    low, high = np.minimum(values[:, :2], values[:, 2:]), np.maximum(values[:, :2], values[:, 2:])
    ordered = np.concatenate([low, high], axis=1)
    return ordered, ordered[::-1].copy()


def box_tensors(case: Case) -> tuple[Tensor, Tensor]:
    first, second = box_pairs(case, case.logits.double().numpy())
    return torch.from_numpy(first), torch.from_numpy(second)


@reference_of(boxes.box_iou, lambda c: boxes.box_iou(*box_tensors(c)))
def box_iou(case):
    values = []
    for first, second in zip(*box_pairs(case, case.z), strict=True):
        common = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
        areas = [np.prod(box[2:] - box[:2]) for box in (first, second)]
        both = np.prod(common) if (common > 0).all() else 0.0
        union = sum(areas) - both
        values.append(both / union if union else 0.0)
    return values


@reference_of(boxes.centre_error, lambda c: boxes.centre_error(*box_tensors(c)))
def centre_error(case):
    first, second = box_pairs(case, case.z)
    return [
        math.dist((a[:2] + a[2:]) / 2, (b[:2] + b[2:]) / 2)
        for a, b in zip(first, second, strict=True)
    ]


def detected(case: Case) -> tuple[Any, Any]:
    """Take four samples as an image, each with a detection and an object near it.

    Returns:
        Rows of class, score and corners, and rows of class and corners, (images, 4, *).
    """
    z = np.clip(case.z, -9, 9)
    low, size = 5 * z[:, :2], 2 + np.abs(z[:, 2:])
    true = low + z[:, 2:] * 0.4
    made = [z.argmax(axis=1), np.abs(z[:, 0]), *low.T, *(low + size).T]
    given = [case.y, *true.T, *(true + size).T]
    images = (-1, min(4, len(z)))
    return tuple(np.stack(rows, axis=1).reshape(*images, len(rows)) for rows in (made, given))


def mean_ap(case: Case) -> list[Tensor]:
    made, given = map(torch.from_numpy, detected(case))
    images = [image[image[:, 1].argsort(descending=True, stable=True)] for image in made]
    found = [detection.Detections(each[:, 2:], each[:, 1], each[:, 0].long()) for each in images]
    return list(detection.mean_average_precision(found, given).values())


def overlap_of(first: np.ndarray, second: np.ndarray) -> float:
    common = np.prod(
        np.clip(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0, None)
    )
    areas = [np.prod(box[2:] - box[:2]) for box in (first, second)]
    return float(common / (sum(areas) - common))


def average_precision_of_class(made: Any, given: Any, label: int, least: float) -> float:
    """Match each detection, the surest first, with the best free object of its image."""
    rows = [
        (row[1], place, row[2:])
        for place, image in enumerate(made)
        for row in image
        if row[0] == label
    ]
    objects = {
        place: [row[1:] for row in image if row[0] == label] for place, image in enumerate(given)
    }
    count = sum(map(len, objects.values()))
    if not count:
        return math.nan
    hits = []
    for _, place, box in sorted(rows, key=lambda row: -row[0]):
        overlaps = [overlap_of(box, true) for true in objects[place]]
        best = int(np.argmax(overlaps)) if overlaps else -1
        hits.append(best >= 0 and overlaps[best] >= least)
        if hits[-1]:
            del objects[place][best]
    right = np.cumsum(hits)
    precision, recall = right / np.arange(1, len(hits) + 1), right / count
    levels = [precision[recall >= level] for level in np.linspace(0, 1, 101)]
    return float(np.mean([level.max() if len(level) else 0.0 for level in levels]))


@reference_of(detection.mean_average_precision, mean_ap)
def mean_average_precision(case):
    made, given = detected(case)
    grid = [
        [average_precision_of_class(made, given, label, least) for label in range(4)]
        for least in np.arange(10) / 20 + 0.5
    ]
    by_threshold = np.nanmean(grid, axis=1)
    return [by_threshold.mean(), by_threshold[0], by_threshold[5]]


def texts(case: Case) -> tuple[str, str]:
    return "".join(map(str, case.z.argmax(axis=1))), "".join(map(str, case.y))


@reference_of(text.edit_distance, lambda c: text.edit_distance(*texts(c)))
def edit_distance(case):
    return round(char_error_rate([texts(case)[0]], [texts(case)[1]]).item() * len(case.y))


def layer(case: Case) -> torch.nn.Module:
    module = torch.nn.Linear(case.z.shape[1], len(case.z)).double()
    module.weight.data = case.logits.double()
    return module


@reference_of(weights.weight_summary, lambda c: list(weights.weight_summary(layer(c)).values()))
def weight_summary(case):
    return [np.sqrt((case.z**2).mean()), (np.abs(case.z) < 1e-3).mean()]
