"""What each loss should give, from numpy, scipy and scikit-learn in float64.

``REFERENCES[name](prediction, target, **options)`` is the value of ``conf/loss/<name>.yaml`` with
its default reduction and these options in place of its own. Arrays are float64, or int64 indices.
"""

import itertools
from functools import partial

import numpy as np
from scipy import signal, special
from scipy.spatial import distance
from sklearn import metrics

REFERENCES = {}


# regression
REFERENCES["sse"] = lambda prediction, target: np.square(prediction - target).sum()
REFERENCES["mse"] = metrics.mean_squared_error
REFERENCES["rmse"] = lambda prediction, target: metrics.root_mean_squared_error(
    np.ravel(target), np.ravel(prediction)
)
REFERENCES["mae"] = metrics.mean_absolute_error
REFERENCES["huber"] = lambda prediction, target, delta=1.0: special.huber(
    delta, prediction - target
).mean()


def smooth_l1(prediction, target, beta=1.0):
    difference = prediction - target
    elements = special.huber(beta, difference) / beta if beta else np.abs(difference)
    return elements.mean()


REFERENCES["smooth_l1"] = smooth_l1


# classification
def cross_entropy(
    prediction, target, weight=None, label_smoothing=0.0, ignore_index=-100, parameters=None
):
    """One sample at a time; 0 where all are ignored. The parameters map embeddings to logits."""
    if parameters is not None:
        prediction = prediction @ parameters[0].T + parameters[1]
    weight = np.ones(prediction.shape[1]) if weight is None else np.asarray(weight)
    total = count = 0.0
    for scores, index in zip(prediction, target, strict=True):
        if index == ignore_index:
            continue
        surprises = -special.log_softmax(scores)
        total += (1 - label_smoothing) * weight[index] * surprises[index]
        total += label_smoothing * (weight * surprises).mean()
        count += weight[index]
    return total / count if count else 0.0


def logit_adjusted(prediction, target, class_counts=None, tau=1.0, ignore_index=-100):
    """The ratio form of the paper: log of one plus the odds of every other class."""
    counts = np.ones(prediction.shape[1]) if class_counts is None else np.asarray(class_counts)
    values = [
        special.logsumexp(scores - scores[t], b=(counts / counts[t]) ** tau)
        for scores, t in zip(prediction, target, strict=True)
        if t != ignore_index
    ]
    return np.mean(values) if values else 0.0


def categorical_cross_entropy(prediction, target, weight=None, label_smoothing=0.0):
    """The index form, averaged over the classes that the target may be."""
    weight = np.ones(prediction.shape[1]) if weight is None else np.asarray(weight)
    total = count = 0.0
    for scores, shares in zip(prediction, target, strict=True):
        for index, share in enumerate(shares):
            sample = scores[None], np.array([index])
            value = cross_entropy(*sample, weight, label_smoothing)
            total += share * weight[index] * value
            count += share * weight[index]
    return total / count


def _known(prediction, target, ignore_index):
    """Leave out ignored targets, elements of the prediction or rows of it."""
    return prediction[target != ignore_index], target[target != ignore_index]


def bce(prediction, target, pos_weight=1.0, ignore_index=None):
    if ignore_index is not None:
        prediction, target = _known(prediction, target, ignore_index)
        return bce(prediction, target, pos_weight) if target.size else 0.0
    surprise = np.logaddexp(0, -prediction), np.logaddexp(0, prediction)
    return (np.asarray(pos_weight) * target * surprise[0] + (1 - target) * surprise[1]).mean()


def hinge(
    prediction,
    target,
    margin=1.0,
    multiclass="crammer_singer",
    squared=False,
    ignore_index=None,
):
    if ignore_index is not None:
        prediction, target = _known(prediction, target, ignore_index)
        return hinge(prediction, target, margin, multiclass, squared) if target.size else 0.0
    power = 2 if squared else 1
    if prediction.shape == target.shape:
        signs = np.where(target > 0, 1, -1)
        return (np.maximum(0, margin - signs * prediction) ** power).mean()
    values = []
    for scores, index in zip(prediction, target, strict=True):
        leads = scores[index] - np.delete(scores, index)
        hinges = np.maximum(0, margin - leads) ** power
        values.append(hinges.max() if multiclass == "crammer_singer" else hinges.sum())
    return np.mean(values)


def focal(prediction, target, gamma=2.0, alpha=None, ignore_index=None):
    if ignore_index is not None:
        prediction, target = _known(prediction, target, ignore_index)
        return focal(prediction, target, gamma, alpha) if target.size else 0.0
    if prediction.shape == target.shape:
        alphas = (1, 1) if alpha is None else (1 - alpha, alpha) if np.isscalar(alpha) else alpha
        weight = np.where(target > 0, alphas[1], alphas[0])
        lead = np.where(target > 0, prediction, -prediction)
    else:
        rows = np.arange(len(target))
        weight = 1 if alpha is None else np.asarray(alpha)[target]
        others = prediction.copy()
        others[rows, target] = -np.inf
        lead = prediction[rows, target] - special.logsumexp(others, axis=1)
    return (weight * special.expit(-lead) ** gamma * np.logaddexp(0, -lead)).mean()


REFERENCES["cross_entropy"] = cross_entropy
REFERENCES["sum"] = lambda *pair: cross_entropy(*pair) + focal(*pair, gamma=1.0) / 2
REFERENCES["uncertainty_sum"] = lambda *pair, parameters: (
    np.exp(-parameters[0]) @ [cross_entropy(*pair), focal(*pair, gamma=1.0)]
    + parameters[0].sum() / 2
)
REFERENCES["logit_adjusted"] = logit_adjusted
REFERENCES["categorical_cross_entropy"] = categorical_cross_entropy
REFERENCES["bce"] = bce
REFERENCES["hinge"] = hinge
REFERENCES["focal"] = focal


# segmentation
def _regions(prediction, target, include_background=True, softmax=True):
    """Probability and target of each class of each image: ``[image][class] -> (p, t)``."""
    if prediction.shape == target.shape:
        return [[(special.expit(z), t)] for z, t in zip(prediction, target, strict=True)]
    p = special.softmax(prediction, axis=1) if softmax else special.expit(prediction)
    classes = range(0 if include_background else 1, prediction.shape[1])
    return [[(p[n, c], target[n] == c) for c in classes] for n in range(len(target))]


def _mean(values, weights=None):
    return np.average(values, weights=weights) if len(values) else 0.0


def dice(prediction, target, power=1, smooth=0.0, empty="soft", weight=None, **layout):
    values, weights = [], []
    for image in _regions(prediction, target, **layout):
        for (p, t), share in zip(image, weight or [1] * len(image), strict=True):
            if np.any(t):
                sizes = (p**power).sum() + (t**power).sum()
                values.append(1 - (2 * (p * t).sum() + smooth) / (sizes + smooth))
                weights.append(share)
            elif empty == "soft":
                values.append((p**power).mean())
                weights.append(share)
    return _mean(values, weights)


def _tversky(p, t, fp_weight, fn_weight, smooth):
    if not np.any(t):
        return p.mean()
    true, fp, fn = (p * t).sum(), (p * (1 - t)).sum(), ((1 - p) * t).sum()
    return 1 - (true + smooth) / (true + fp_weight * fp + fn_weight * fn + smooth)


def tversky(prediction, target, fp_weight=0.3, fn_weight=0.7, smooth=0.0, weight=None):
    images = _regions(prediction, target)
    regions = itertools.chain(*images)
    values = [_tversky(p, t, fp_weight, fn_weight, smooth) for p, t in regions]
    return _mean(values, weight and weight * len(images))


def focal_tversky(prediction, target, exponent=0.75, empty="soft", weight=None):
    images = []
    for image in _regions(prediction, target):
        shares = weight or [1] * len(image)
        kept = [
            (p, t * 1.0, share)
            for (p, t), share in zip(image, shares, strict=True)
            if empty == "soft" or np.any(t)
        ]
        # rounding may leave -1e-17 where the overlap is perfect
        values = [s * max(_tversky(p, t, 0.3, 0.7, 0.0), 0) ** exponent for p, t, s in kept]
        images += [sum(values)] if kept else []
    return _mean(images)


def bce_dice(prediction, target, bce_weight=1.0, dice_weight=1.0, power=1, weight=None):
    overlap = dice(prediction, target, power, weight=weight, softmax=False)  # one against all
    if prediction.shape != target.shape:
        target = np.moveaxis(np.eye(prediction.shape[1])[target], -1, 1)
    shares = weight or [1] * target.shape[1]
    each = [bce(prediction[:, c], target[:, c]) for c in range(target.shape[1])]
    return bce_weight * np.average(each, weights=shares) + dice_weight * overlap


REFERENCES["dice"] = dice
REFERENCES["tversky"] = tversky
REFERENCES["focal_tversky"] = focal_tversky
REFERENCES["bce_dice"] = bce_dice


# sequences, reconstruction, adversarial
def ctc(prediction, target, blank=0):
    """Every path of every sequence, one by one; 0 where no path fits."""
    values = []
    for scores, labels, length, steps in zip(prediction, *target, strict=True):
        log_p = special.log_softmax(scores[:steps], axis=1)
        wanted = tuple(labels[:length])
        fitting = [
            log_p[np.arange(steps), list(path)].sum()
            for path in itertools.product(range(scores.shape[1]), repeat=int(steps))
            if tuple(c for c, _ in itertools.groupby(path) if c != blank) == wanted
        ]
        values.append(-special.logsumexp(fitting) / max(length, 1) if fitting else 0.0)
    return np.mean(values)


def framewise_cross_entropy(prediction, target, blank=0):
    """Step by step; a label's share of the steps begins with the blank after an equal label."""
    values = []
    for scores, labels, length, steps in zip(prediction, *target, strict=True):
        log_p = special.log_softmax(scores[:steps], axis=1)
        total, before = 0.0, None
        for step in range(steps):
            place = step * int(length) // int(steps)
            now = labels[place] if length else blank
            repeats = before is not None and place > before and labels[place] == labels[before]
            total -= log_p[step, blank if repeats else now]
            before = place
        values.append(total / max(length, 1))
    return np.mean(values)


def reconstruction(prediction, target, p=2, per="element"):
    error = (np.abs(prediction - target) ** p).sum()
    return error / (prediction.size if per == "element" else len(prediction))


def _log_d(logits):
    return -np.logaddexp(0, -logits)


DISCRIMINATOR = {
    "non_saturating": lambda real, fake: -_log_d(real) - _log_d(-fake),
    "minimax": lambda real, fake: -_log_d(real) - _log_d(-fake),
    "least_squares": lambda real, fake: (real - 1) ** 2 / 2 + fake**2 / 2,
    "hinge": lambda real, fake: np.maximum(0, 1 - real) + np.maximum(0, 1 + fake),
    "wasserstein": lambda real, fake: fake - real,
}

GENERATOR = {
    "non_saturating": lambda fake: -_log_d(fake),
    "minimax": lambda fake: _log_d(-fake),
    "least_squares": lambda fake: (fake - 1) ** 2 / 2,
    "hinge": lambda fake: -fake,
}


def _convolved(images, weight, bias, stride):
    """Cross-correlation of images padded by 1, one channel of one image at a time."""
    images = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return np.stack(
        [
            [
                sum(map(partial(signal.correlate2d, mode="valid"), image, kernel))
                + shift  # over the input channels
                for kernel, shift in zip(weight, bias, strict=True)
            ]
            for image in images
        ]
    )[..., ::stride, ::stride]


def patch_logits(images, parameters):
    """Logits of the patches of images: two convolutions of stride 2, and one of stride 1."""
    first, second, last = zip(parameters[::2], parameters[1::2], strict=True)
    hidden = _convolved(images, *first, 2)
    hidden = _convolved(np.maximum(hidden, 0.2 * hidden), *second, 2)
    return _convolved(np.maximum(hidden, 0.2 * hidden), *last, 1)


def adversarial_reconstruction(
    prediction, target, parameters, p=1, weight=0.01, kind="non_saturating"
):
    real, fake = (patch_logits(images, parameters) for images in (target, prediction))
    distance = (np.abs(prediction - target) ** p).mean()
    return distance + weight * GENERATOR[kind](fake).mean() + DISCRIMINATOR[kind](real, fake).mean()


REFERENCES["ctc"] = ctc
REFERENCES["framewise_cross_entropy"] = framewise_cross_entropy
REFERENCES["reconstruction"] = reconstruction
REFERENCES["adversarial_reconstruction"] = adversarial_reconstruction
REFERENCES["adversarial"] = lambda prediction, target, kind="non_saturating": DISCRIMINATOR[kind](
    prediction, target
).mean()


# boxes, side by side: intervals
def _intervals(box):
    return [sorted((box[axis], box[axis + 2])) for axis in (0, 1)]


def _of_boxes(pair_loss):
    def loss(prediction, target):
        prediction, target = (np.reshape(boxes, (-1, 4)) for boxes in (prediction, target))
        return np.mean([pair_loss(p, t) for p, t in zip(prediction, target, strict=True)])

    return loss


def _overlap(p, t):
    """Intersection over union, and union over enclosing box; 0 where that is 0 / 0."""
    sizes = [np.prod([high - low for low, high in _intervals(box)]) for box in (p, t)]
    common, around = 1.0, 1.0
    for (low, high), (t_low, t_high) in zip(_intervals(p), _intervals(t), strict=True):
        common *= max(0, min(high, t_high) - max(low, t_low))
        around *= max(high, t_high) - min(low, t_low)
    union = sum(sizes) - common
    return common / union if union else 0.0, union / around if around else 1.0


def _iou(p, t):
    return 1 - _overlap(p, t)[0]


def _giou(p, t):
    return _iou(p, t) + 1 - _overlap(p, t)[1]


def _diou(p, t):
    ends = np.array([_intervals(p), _intervals(t)])
    apart = ends[0].mean(axis=1) - ends[1].mean(axis=1)
    diagonal = ends.max(axis=(0, 2)) - ends.min(axis=(0, 2))
    return _iou(p, t) + (apart @ apart / (diagonal @ diagonal) if diagonal.any() else 0)


def _ciou(p, t):
    shapes = []
    for box in (p, t):
        width, height = (high - low for low, high in _intervals(box))
        point = width == height == 0
        shapes.append(np.pi / 4 if point else np.angle(complex(height, width)))
    v = ((shapes[0] - shapes[1]) * 2 / np.pi) ** 2
    return _diou(p, t) + (v * v / (_iou(p, t) + v) if v else 0)


REFERENCES["iou"] = _of_boxes(_iou)
REFERENCES["giou"] = _of_boxes(_giou)
REFERENCES["diou"] = _of_boxes(_diou)
REFERENCES["ciou"] = _of_boxes(_ciou)


def detection(prediction, target):
    """Focal loss of each class, and twice the GIoU loss of objects, place by place."""
    total, objects = 0.0, 0
    for row, (label, *true) in zip(prediction.reshape(-1, 6), target.reshape(-1, 5), strict=True):
        for index, logit in enumerate(row[:2]):
            if label == -2:
                continue
            sign = 1 if label == index else -1
            total += special.expit(-sign * logit) ** 2 * -special.log_expit(sign * logit)
        if label >= 0:
            total += 2 * _giou(row[2:], np.array(true))
            objects += 1
    return total / max(1, objects)


REFERENCES["detection"] = detection


# point clouds
def chamfer(prediction, target, squared=True, directions="sum"):
    metric = "sqeuclidean" if squared else "euclidean"
    values = []
    for ours, theirs in zip(prediction, target, strict=True):
        away = distance.cdist(ours, theirs, metric)
        values.append(away.min(axis=0).mean() + away.min(axis=1).mean())
    return np.mean(values) / (1 if directions == "sum" else 2)


def emd(prediction, target, p=1):
    """Every matching of every cloud of a few points, one by one."""
    values = []
    for ours, theirs in zip(prediction, target, strict=True):
        away = distance.cdist(ours, theirs) ** p
        matchings = itertools.permutations(range(len(ours)))
        values.append(min(away[range(len(ours)), order].mean() for order in matchings))
    return np.mean(values)


REFERENCES["chamfer"] = chamfer
REFERENCES["emd"] = emd


# metric learning: plain loops
def _unit(embeddings):
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.where(lengths > 0, lengths, 1)


def _average(values, mean_over):
    kept = [value for value in values if value > 0 or mean_over == "all"]
    return _mean(kept)


def contrastive(prediction, target, margin=1.0, normalize=True, mean_over="all"):
    x = _unit(prediction) if normalize else prediction
    values = []
    for i, j in itertools.combinations(range(len(x)), 2):
        away = np.linalg.norm(x[i] - x[j])
        apart = away if target[i] == target[j] else max(0, margin - away)
        values.append(apart**2 / 2)
    return _average(values, mean_over)


def _negatives(d, a, p, negatives, mining):
    """The negatives that a positive meets."""
    if mining != "semi_hard":
        return negatives
    farther = [n for n in negatives if d[a, n] > d[a, p]]
    return [
        min(farther, key=lambda n: d[a, n]) if farther else max(negatives, key=lambda n: d[a, n])
    ]


def triplet(
    prediction,
    target,
    *,
    margin=0.2,
    mining="all",
    distance="euclidean",
    soft_margin=False,
    normalize=True,
    mean_over="all",
):
    x = _unit(prediction) if normalize else prediction
    d = np.linalg.norm(x[:, None] - x, axis=2) ** (2 if distance == "squared" else 1)
    values = []
    for a in range(len(x)):
        positives = [p for p in range(len(x)) if target[p] == target[a] and p != a]
        negatives = [n for n in range(len(x)) if target[n] != target[a]]
        if not positives or not negatives:
            continue
        if mining == "hard":
            positives = [max(positives, key=lambda p: d[a, p])]
            negatives = [min(negatives, key=lambda n: d[a, n])]
        for p in positives:
            excess = [d[a, p] - d[a, n] for n in _negatives(d, a, p, negatives, mining)]
            values += [np.logaddexp(0, e) if soft_margin else max(0, e + margin) for e in excess]
    return _average(values, mean_over)


def angular(prediction, target, angle=45.0):
    x = _unit(prediction)
    tangent = np.tan(np.radians(angle)) ** 2
    values = []
    for a, p in itertools.permutations(range(len(x)), 2):
        if target[a] != target[p]:
            continue
        exponents = [
            4 * tangent * (x[a] + x[p]) @ x[n] - 2 * (1 + tangent) * x[a] @ x[p]
            for n in range(len(x))
            if target[n] != target[a]
        ]
        values.append(np.log1p(np.exp(exponents).sum()))
    return _mean(values)


def arcface(prediction, target, parameters, margin=0.5, scale=64.0):
    """The margin in exponentials of complex numbers, cos t + i sin t."""
    x, vectors = _unit(prediction), _unit(parameters[0])
    surprises = []
    for row, label in zip(x, target, strict=True):
        cosines = vectors @ row
        sine = np.linalg.norm(row - cosines[label] * vectors[label])
        angle = np.arctan2(sine, cosines[label])
        turned = (complex(cosines[label], sine) * np.exp(1j * margin)).real
        beyond = angle + margin > np.pi
        cosines[label] = cosines[label] - margin * np.sin(margin) if beyond else turned
        surprises.append(-special.log_softmax(scale * cosines)[label])
    return _mean(surprises)


def cosface(prediction, target, parameters, margin=0.35, scale=64.0):
    cosines = _unit(prediction) @ _unit(parameters[0]).T
    cosines[np.arange(len(target)), target] -= margin
    return -special.log_softmax(scale * cosines, axis=1)[np.arange(len(target)), target].mean()


def proxy_anchor(prediction, target, parameters, margin=0.1, scale=32.0):
    cosines = _unit(prediction) @ _unit(parameters[0]).T
    positive, negative = [], []
    for proxy, column in enumerate(cosines.T):
        own = target == proxy
        if own.any():
            positive.append(np.logaddexp.reduce([0, *(-scale * (column[own] - margin))]))
        negative.append(np.logaddexp.reduce([0, *(scale * (column[~own] + margin))]))
    return _mean(positive) + _mean(negative)


def center(prediction, target, parameters):
    pairs = zip(prediction, parameters[0][target], strict=True)
    return _mean([distance.sqeuclidean(*pair) / 2 for pair in pairs])


def info_nce(prediction, target, parameters, temperature=None):
    """One row of one direction at a time; the parameter has the temperature."""
    (log_scale,) = parameters[0]
    first, second = _unit(prediction[:, 0]), _unit(prediction[:, 1])
    surprises = []
    for rows, columns in ((first, second), (second, first)):
        for row, label in zip(rows, target, strict=True):
            chances = special.log_softmax(np.exp(log_scale) * columns @ row)
            surprises.append(-chances[target == label].mean())
    return _mean(surprises)


def siglip(prediction, target, parameters, scale=None, bias=None):
    """One pair of a first and a second part at a time; the parameters have scale and bias."""
    (log_scale,), (shift,) = parameters
    first, second = _unit(prediction[:, 0]), _unit(prediction[:, 1])
    total = 0.0
    for i, j in itertools.product(range(len(target)), repeat=2):
        logit = np.exp(log_scale) * first[i] @ second[j] + shift
        total += np.logaddexp(0, -logit if target[i] == target[j] else logit)
    return total / len(target)


REFERENCES["info_nce"] = info_nce
REFERENCES["siglip"] = siglip
REFERENCES["center"] = center
REFERENCES["arcface"] = arcface
REFERENCES["cosface"] = cosface
REFERENCES["proxy_anchor"] = proxy_anchor
REFERENCES["contrastive"] = contrastive
REFERENCES["triplet"] = triplet
REFERENCES["angular"] = angular


# ranking
def _ordered_differences(prediction, target):
    every = np.ones(prediction.shape, dtype=bool)
    graded, documents = target if isinstance(target, tuple) else (target, every)
    return [
        scores[i] - scores[j]
        for scores, grades, counted in zip(prediction, graded, documents, strict=True)
        for i, j in itertools.permutations(range(len(scores)), 2)
        if grades[i] > grades[j] and counted[i] and counted[j]
    ]


def margin_ranking(prediction, target, margin=1.0):
    return _mean([max(0, margin - each) for each in _ordered_differences(prediction, target)])


def bpr(prediction, target):
    return _mean([np.logaddexp(0, -each) for each in _ordered_differences(prediction, target)])


REFERENCES["margin_ranking"] = margin_ranking
REFERENCES["bpr"] = bpr


# reinforcement learning
def policy_gradient(prediction, target, normalize=True, clip=None):
    advantages, old = target
    if normalize:
        deviation = advantages.std()
        equal = deviation <= 1e-12 * np.abs(advantages).max()
        advantages = (advantages - advantages.mean()) / (1 if equal else deviation)
    if clip is None:
        return -(prediction * advantages).mean()
    values = []
    for log_ratio, advantage in zip(prediction - old, advantages, strict=True):
        ratio = np.exp(min(log_ratio, 700))
        values.append(min(ratio * advantage, np.clip(ratio, 1 - clip, 1 + clip) * advantage))
    return -np.mean(values)


def q_learning(prediction, target, discount=0.99, double=False, td="huber"):
    errors = []
    for values, action, reward, end, next_target, next_online in zip(
        prediction, *target, strict=True
    ):
        best = (next_online if double else next_target).argmax()
        errors.append(values[action] - (reward + discount * next_target[best] * (1 - end)))
    return np.mean(special.huber(1, errors) if td == "huber" else np.square(errors))


REFERENCES["policy_gradient"] = policy_gradient
REFERENCES["q_learning"] = q_learning
