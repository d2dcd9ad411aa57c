"""Classification: one of C classes, or any of K labels."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from losslab.config.specs import TASKS
from losslab.data.raw import IGNORED
from losslab.losses.base import TargetFormat
from losslab.losses.links import InverseLink, NamedLink, standard_link
from losslab.metrics.classes import (
    auroc_macro,
    average_precision,
    calibration_error,
    f1_macro,
    margins,
    membership,
    recall,
)
from losslab.metrics.decisions import best_f1_threshold, binary_f1
from losslab.metrics.probability import (
    brier_score,
    fit_temperature,
    information_gain,
    log_likelihood,
    log_odds,
    negative_log_likelihood,
    predictive_entropy,
    to_probability,
)
from losslab.metrics.weights import weight_summary
from losslab.tasks.base import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData


class ClassificationTask(Task):
    """Classification of one of C classes by C logits, even for C = 2, so that all losses fit.

    Metrics:
        accuracy, f1_macro, rare_recall (recall of the rarest training class); weight_rms and
        near_zero_weights of the network (:mod:`losslab.metrics.weights`).
        auroc: of the probabilities or, if the loss has no inverse link, of the margins
        (:func:`~losslab.metrics.classes.margins`).
        If the loss has an inverse link: ece (15 bins), brier, entropy and bits, which are saved
        over guessing by the shares of the classes in training
        (:func:`~losslab.metrics.probability.information_gain`).
        After :meth:`choose` also ece, brier, bits and nll with the temperature fitted on validation
        and, if the loss has no inverse link or one of its own, as focal loss has, those of its raw
        scores, read as the logits of cross-entropy (ece_raw ...).
        If a class has less than half the training samples of another: rare_f1 and
        rare_average_precision of the rarest class against the rest; after :meth:`choose` also
        rare_recall and rare_f1 at the threshold with the best F1 on validation.

    Scores of samples: accuracy, rare_recall (of the samples of the rarest class), brier, entropy,
        bits (NaN for a class that training lacks), and the negative log-likelihood, nll; for the
        sigmoid see
        :func:`~losslab.metrics.probability.negative_log_likelihood`.

    Raises:
        ValueError: if the targets are not classes.
    """

    spec = TASKS["ClassificationTask"]
    provides = (TargetFormat.CLASS_INDICES, TargetFormat.CLASS_PROBABILITIES)
    counted = "classes"
    maps_metrics = True

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.class_names: list[str] = data.class_names or [str(c) for c in range(data.outputs)]
        self.rarest: int | None = data.rarest
        counts: Tensor = data.class_counts
        self.uneven = bool(2 * counts.min() < counts.max())
        self.base_rates = counts.double() / counts.sum()

    def target(self, target: Tensor, target_format: TargetFormat) -> Tensor:
        """Return class indices (N,) or one-hot targets (N, C)."""
        if target_format is TargetFormat.CLASS_PROBABILITIES:
            return one_hot(target, self.outputs).to(torch.get_default_dtype())
        return target

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the metrics listed above."""
        best = prediction.argmax(dim=1)
        guess, truth = membership(best, self.outputs), membership(target, self.outputs)
        values = {"accuracy": (best == target).double().mean(), "f1_macro": f1_macro(guess, truth)}
        if self.rarest is not None:
            values["rare_recall"] = recall(guess, truth)[self.rarest]
            if self.uneven:
                values |= _rare_class(prediction, target, self.rarest, chosen)
        order = margins(prediction)
        if inverse_link is not None:
            order = log_odds(prediction, standard_link(inverse_link))
        values["auroc"] = auroc_macro(order, truth)
        hot = one_hot(target, self.outputs)
        for suffix, (logits, link) in _readings(prediction, inverse_link, chosen).items():
            probability = to_probability(logits, link)
            confidence = probability.gather(1, best.unsqueeze(1)).squeeze(1)
            values[f"ece{suffix}"] = calibration_error(confidence, best == target)
            values[f"brier{suffix}"] = brier_score(probability, hot).mean()
            values[f"bits{suffix}"] = self._bits(logits, target, link).nanmean()
            if suffix:
                values[f"nll{suffix}"] = negative_log_likelihood(logits, hot, link).mean()
            else:
                values["entropy"] = predictive_entropy(logits, link, probability).mean()
        return values

    def scores(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the scores listed above."""
        right = (prediction.argmax(dim=1) == target).double()
        values = {"accuracy": right}
        if self.rarest is not None:
            rare = target == self.rarest
            values["rare_recall"] = right.where(rare, torch.nan)
            if self.uneven and "rare_threshold" in chosen:
                found = _lead(prediction, self.rarest) >= chosen["rare_threshold"]
                values["rare_recall_best_threshold"] = found.double().where(rare, torch.nan)
        hot = one_hot(target, self.outputs)
        for suffix, (logits, link) in _readings(prediction, inverse_link, chosen).items():
            probability = to_probability(logits, link)
            values[f"brier{suffix}"] = brier_score(probability, hot)
            values[f"nll{suffix}"] = negative_log_likelihood(logits, hot, link)
            values[f"bits{suffix}"] = self._bits(logits, target, link)
            if not suffix:
                values["entropy"] = predictive_entropy(logits, link, probability)
        return values

    def _bits(self, logits: Tensor, target: Tensor, link: InverseLink) -> Tensor:
        """Compute the bits that are saved over guessing, per sample."""
        guessed = self.base_rates.to(logits.device)[target].log()
        return information_gain(log_likelihood(logits, target, link), guessed)

    def tie_break(
        self, prediction: Tensor, target: Tensor, inverse_link: InverseLink | None
    ) -> dict[str, float]:
        """Compute the negative log-likelihood after fitting one temperature."""
        hot = one_hot(target, self.outputs)
        return _nll_of_one_temperature(prediction, hot, standard_link(inverse_link))

    def choose(
        self, prediction: Tensor, target: Tensor, inverse_link: InverseLink | None
    ) -> dict[str, float]:
        """Fit a temperature, and a threshold for the rarest class, on validation."""
        hot = one_hot(target, self.outputs)
        chosen = {"temperature": fit_temperature(prediction, hot, standard_link(inverse_link))[0]}
        if self.rarest is not None and self.uneven:
            chosen["rare_threshold"] = best_f1_threshold(
                _lead(prediction, self.rarest), target.eq(self.rarest)
            )
        return chosen

    def baselines(self, data: Any, untrained: nn.Module) -> dict[str, dict[str, float]]:
        """Return what the true distribution is expected to have, if the data know it."""
        expected: Mapping[str, float] = getattr(data, "expected_metrics", {})
        return {"true_distribution": dict(expected)} if expected else {}

    def network_metrics(self, network: nn.Module) -> dict[str, float]:
        """Compute the size of the weights, and the share near zero."""
        return weight_summary(network)

    def figures(
        self, inputs: Tensor, prediction: Tensor, target: Tensor, network: nn.Module
    ) -> "Mapping[str, Figure | FigureData]":
        """Plot the confusion matrix and, for images, a grid of predictions."""
        from losslab.tasks import drawing  # noqa: PLC0415 (matplotlib: only where it is drawn)

        guess = prediction.argmax(dim=1)
        figures = {"confusion": drawing.confusion(guess, target, self.class_names)}
        if inputs.ndim == 4:
            figures["predictions"] = drawing.labelled(inputs, guess, target, self.class_names)
        return figures


class MultiLabelTask(Task):
    """Classification with any of K labels by K logits with 0/1 targets.

    Metrics:
        f1_macro and accuracy over labels, at a probability of 0.5; auroc.
        If the loss has an inverse link: ece, brier, entropy and bits, which are saved over guessing
        by the share of each label in training, summed over the labels
        (:func:`~losslab.metrics.probability.information_gain`).

    Labels that are not known (:data:`~losslab.data.raw.IGNORED`) count for no metric.

    Scores of samples: accuracy, brier, entropy, bits, and the negative log-likelihood, nll, which
        is summed over the labels.

    Raises:
        ValueError: if the targets are not labels.
    """

    spec = TASKS["MultiLabelTask"]
    provides = (TargetFormat.BINARY_TARGETS,)
    counted = "labels"
    maps_metrics = True

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.ignores: bool = getattr(data, "ignores", False)
        self.maps_metrics = not self.ignores
        known = (data.train.targets != IGNORED).sum(dim=0)
        self.base_rates = data.class_counts.double() / known

    def target(self, target: Tensor, target_format: TargetFormat) -> Tensor:
        """Return 0/1 targets (N, K) as floats."""
        return target.to(torch.get_default_dtype())

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the metrics listed above."""
        known, truth = target != IGNORED, target > 0
        scores = self.scores(prediction, target, inverse_link, chosen)
        values = {name: score.nanmean() for name, score in scores.items() if name != "nll"}
        values["f1_macro"] = f1_macro((prediction > 0) & known, truth)
        values["auroc"] = self._auroc(prediction, truth, known)
        if inverse_link is not None:
            probability = to_probability(prediction, inverse_link)
            confidence, right = probability.flatten(), truth.flatten()
            if self.ignores:
                confidence, right = probability[known], truth[known]
            values["ece"] = calibration_error(confidence, right)
        return values

    def _auroc(self, prediction: Tensor, truth: Tensor, known: Tensor) -> Tensor:
        if not self.ignores:
            return auroc_macro(prediction, truth)
        columns = zip(*(part.unbind(dim=1) for part in (prediction, truth, known)), strict=True)
        areas = [auroc_macro(z[kept][:, None], t[kept][:, None]) for z, t, kept in columns]
        return torch.stack(areas).nanmean()

    def scores(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the scores listed above."""
        known, truth = target != IGNORED, target > 0

        def mean(values: Tensor) -> Tensor:
            return values.where(known, torch.nan).nanmean(dim=1)

        values = {"accuracy": mean(((prediction > 0) == truth).double())}
        if inverse_link is not None:
            probability = to_probability(prediction, inverse_link)
            values["brier"] = mean((probability - truth.to(probability)).square())
            # summed over the labels, of which unknown ones are certain and right
            certain = torch.where(known, prediction, torch.finfo(prediction.dtype).min)
            values["entropy"] = predictive_entropy(certain, inverse_link)
            values["nll"] = negative_log_likelihood(certain, truth, inverse_link)
            rates = self.base_rates.to(prediction.device)
            guessed = torch.where(truth, rates, 1 - rates).where(known, 1).log().sum(dim=1)
            values["bits"] = information_gain(-values["nll"], guessed)
        return values

    def tie_break(
        self, prediction: Tensor, target: Tensor, inverse_link: InverseLink | None
    ) -> dict[str, float]:
        """Compute the negative log-likelihood after fitting one temperature."""
        if not self.ignores:
            return _nll_of_one_temperature(prediction, target, "sigmoid")
        logits, labels = (part[target != IGNORED].unsqueeze(1) for part in (prediction, target))
        return _nll_of_one_temperature(logits, labels, "sigmoid")


def _readings(
    prediction: Tensor, inverse_link: InverseLink | None, chosen: Mapping[str, float]
) -> dict[str, tuple[Tensor, InverseLink]]:
    """Return the logits that are read as probabilities, by the suffix of the metrics' names."""
    readings: dict[str, tuple[Tensor, InverseLink]] = {}
    if inverse_link is not None:
        readings[""] = prediction, inverse_link
    if "temperature" in chosen:
        cooled = prediction / chosen["temperature"]
        readings["_temperature_scaled"] = cooled, standard_link(inverse_link)
        if not isinstance(inverse_link, str):
            readings["_raw"] = prediction, standard_link(inverse_link)
    return readings


def _nll_of_one_temperature(
    logits: Tensor, target: Tensor, inverse_link: NamedLink
) -> dict[str, float]:
    """Compute the mean negative log-likelihood after fitting one temperature, with its name.

    For losses without an inverse link too: their scores over the temperature are read as logits.
    """
    return {"nll_temperature_scaled": fit_temperature(logits, target, inverse_link)[1]}


def _rare_class(
    prediction: Tensor, target: Tensor, rarest: int, chosen: Mapping[str, float]
) -> dict[str, Tensor]:
    """Compute the metrics of the rarest class against the rest."""
    truth, lead = target.eq(rarest), _lead(prediction, rarest)
    values = {
        "rare_f1": binary_f1(prediction.argmax(dim=1).eq(rarest), truth),
        "rare_average_precision": average_precision(lead.unsqueeze(1), truth.unsqueeze(1))[0],
    }
    if "rare_threshold" in chosen:
        guess = lead >= chosen["rare_threshold"]
        values["rare_recall_best_threshold"] = (guess & truth).sum() / truth.sum()
        values["rare_f1_best_threshold"] = binary_f1(guess, truth)
    return values


def _lead(prediction: Tensor, label: int) -> Tensor:
    """Compute the log-odds of a class, which order samples as its softmax probability does."""
    return log_odds(prediction, "softmax")[:, label]
