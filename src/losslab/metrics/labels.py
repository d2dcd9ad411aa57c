"""Labels of metrics in reports: name, unit, scale, and which direction is better."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Metric:
    """Label of a metric.

    Example:
        >>> accuracy = metric("accuracy")
        >>> accuracy.text(0.9711), accuracy.difference_text(-0.0052)
        ('97.11 %', '-0.52 points')
        >>> accuracy.sign, metric("mae").sign
        (1, -1)
    """

    name: str
    """Name in records, without the split, e.g. ``accuracy`` or ``ref/mse``."""
    label: str
    better: Better | None = None
    """``None`` for a metric that is shown, but does not rank losses."""
    percent: bool = False
    """Whether it is a share: shown in per cent, with differences in percentage points."""
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    chance: float = 0.0
    """Value that no training reaches, for metrics of which higher values are better."""
    absent_is_worst: bool = False
    """Whether a finished run without a value counts as the worst, as with ``steps_to_solve``."""

    @property
    def sign(self) -> int:
        """1 if higher is better, -1 if lower is better, 0 if neither is."""
        return {"higher": 1, "lower": -1, None: 0}[self.better]

    @property
    def header(self) -> str:
        """Label with unit and better direction, for a column or an axis."""
        return f"{self.label}{self._unit_and_direction}"

    @property
    def short_header(self) -> str:
        """Name with unit and better direction."""
        return f"{self.name}{self._unit_and_direction}"

    @property
    def _unit_and_direction(self) -> str:
        unit = " [%]" if self.percent else f" [{self.unit}]" if self.unit else ""
        return unit + {"higher": " ↑", "lower": " ↓", None: ""}[self.better]

    @property
    def scale(self) -> float:
        """Factor by which shown values are multiplied."""
        return 100.0 if self.percent else 1.0

    def number(self, value: float, like: float | None = None) -> str:
        """Format a value without its unit, with the decimals of ``like`` if given."""
        if self.percent and math.isfinite(value):
            return f"{value * self.scale:.2f}"
        return number(value, like)

    def text(self, value: float, like: float | None = None) -> str:
        """Format a value with its unit."""
        unit = " %" if self.percent else f" {self.unit}" if self.unit else ""
        return self.number(value, like) + unit

    def difference_text(self, difference: float, *, sign: bool = True) -> str:
        """Format a difference of two values with its sign and unit."""
        shown = difference * self.scale
        # hundredths of a point, unless the difference would be lost in them
        rounded = self.percent and (shown == 0 or abs(shown) >= 0.005)
        digits = self.number(difference) if rounded else number(shown, digits=3)
        unit = " points" if self.percent else f" {self.unit}" if self.unit else ""
        return f"{'+' if sign and difference > 0 else ''}{digits}{unit}"


def some(count: int, plural: str) -> str:
    """Return a count with its noun.

    Example:
        >>> some(1, "classes"), some(2, "seeds")
        ('1 class', '2 seeds')
    """
    singular = plural.removesuffix("es") if plural.endswith("sses") else plural.removesuffix("s")
    return f"{count} {singular if count == 1 else plural}"


def first_few(names: Sequence[str], what: str = "", most: int = 3) -> str:
    """Return names, of many the first few and how many more there are.

    Example:
        >>> first_few(["a", "b", "c"]), first_few(["a", "b", "c", "d", "e"], "hosts")
        ('a, b, c', 'a, b, c and 2 more hosts')
    """
    more = f" and {len(names) - most} more {what}".rstrip() if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def number(value: float, like: float | None = None, digits: int = 4) -> str:
    """Format a number with that many significant digits and at most four decimals.

    With ``like``, it has the decimals of that number, as the ends of an interval need.

    Example:
        >>> number(97.222), number(0.012345), number(0.5, like=97.222), number(1.5e-7)
        ('97.22', '0.0123', '0.50', '1.500e-07')
    """
    reference = abs(value if like is None else like)
    if not math.isfinite(value):
        return str(value)
    if not math.isfinite(reference):
        reference = abs(value)
    if value == 0 and not reference:
        return "0"
    if reference and not 1e-3 <= reference < 1e6:
        return f"{value:.1e}" if like is not None else f"{value:.{digits - 1}e}"
    magnitude = math.floor(math.log10(reference)) if reference else 0
    return f"{value:.{min(max(digits - 1 - magnitude, 0), 4)}f}"


def _share(name: str, label: str, better: Better = "higher", high: float = 1.0) -> Metric:
    return Metric(name, label, better, percent=True, low=0.0, high=high)


_KNOWN = (
    _share("accuracy", "accuracy"),
    _share("f1_macro", "macro F1"),
    _share("rare_recall", "recall of the rarest class"),
    _share("rare_f1", "F1 of the rarest class"),
    Metric("rare_average_precision", "average precision, rarest class", "higher", low=0, high=1),
    Metric("near_zero_weights", "weights near zero", percent=True, low=0, high=1),
    Metric("weight_rms", "root mean square of the weights", low=0),
    Metric("auroc", "AUROC", "higher", low=0, high=1, chance=0.5),
    Metric("ece", "calibration error (ECE)", "lower", low=0, high=1),
    Metric("brier", "Brier score", "lower", low=0, high=2),
    Metric("nll", "negative log-likelihood", "lower", low=0),
    Metric("entropy", "predictive entropy", low=0),
    Metric("bits", "information gain over guessing", "higher", unit="bits"),
    Metric("mae", "mean absolute error", "lower", low=0),
    Metric("rmse", "root mean squared error", "lower", low=0),
    Metric("mae_rmse", "geometric mean of MAE and RMSE", "lower", low=0),
    Metric("r2", "R²", "higher", high=1),
    Metric("slope", "slope"),
    Metric("intercept", "intercept"),
    Metric("slope_error", "error of the slope", "lower", low=0),
    Metric("intercept_error", "error of the intercept", "lower", low=0),
    _share("iou", "IoU"),
    _share("accuracy_at_50", "images with IoU of 0.5 or more"),
    _share("accuracy_at_75", "images with IoU of 0.75 or more"),
    Metric("centre_error", "distance of the centres", "lower", unit="px", low=0),
    _share("map", "mAP (IoU 0.5 to 0.95)"),
    _share("map_50", "mAP (IoU 0.5)"),
    _share("map_75", "mAP (IoU 0.75)"),
    _share("dice", "Dice"),
    _share("dice_small", "Dice, small objects"),
    _share("dice_best_threshold", "Dice, best threshold"),
    _share("precision", "precision"),
    _share("recall", "recall"),
    Metric("average_precision", "average precision", "higher", low=0, high=1),
    Metric("chamfer", "Chamfer distance", "lower", low=0),
    Metric("emd", "earth mover's distance", "lower", low=0),
    _share("f_score", "F-score"),
    _share("coverage", "coverage"),
    _share("cer", "character error rate", "lower", high=math.inf),
    _share("exact_match", "exact match"),
    Metric("psnr", "PSNR", "higher", unit="dB"),
    Metric("ssim", "SSIM", "higher", low=-1, high=1),
    Metric("sharpness", "sharpness (real images: 1)", "higher", low=0),
    Metric("frechet", "Fréchet distance", "lower", low=0),
    Metric("modes", "modes covered", "higher", low=0),
    _share("sample_precision", "precision of the samples"),
    _share("sample_recall", "recall of the samples"),
    _share("recall_at_1", "recall@1"),
    _share("recall_at_10", "recall@10"),
    _share("map_at_r", "MAP@R"),
    Metric("silhouette", "silhouette", "higher", low=-1, high=1),
    _share("eer", "equal error rate (EER)", "lower"),
    _share("tar_at_far_1e-2", "TAR at FAR 1e-2"),
    _share("tar_at_far_1e-3", "TAR at FAR 1e-3"),
    Metric("ndcg_at_10", "NDCG@10", "higher", low=0, high=1),
    Metric("kendall_tau", "Kendall's tau", "higher", low=-1, high=1),
    _share("pairwise_accuracy", "pairwise accuracy"),
    Metric("return_mean", "mean return", "higher"),
    Metric("return_mean_sampled", "mean return, sampled actions", "higher"),
    Metric("return_choice", "mean return of the choosing episodes", "higher"),
    Metric("steps_to_solve", "environment steps to solve", "lower", low=0, absent_is_worst=True),
    Metric("loss", "the run's own loss"),
)
METRICS: dict[str, Metric] = {known.name: known for known in _KNOWN}
"""Labels of this project's metrics; other metrics are labelled with their name."""

SUFFIXES = {
    "_temperature_scaled": ", one temperature",
    "_raw": ", raw scores",
    "_held_out": ", held-out classes",
    "_image_to_text": ", image to text",
    "_text_to_image": ", text to image",
    "_final": ", final policy",
    "_best_threshold": ", best threshold",
}
"""Suffixes of the names of metrics that are measured again in another way, and of their labels."""


def metric(name: str) -> Metric:
    """Return the label of a metric by its name in a record.

    Reference losses, ``ref/<loss>``, are better if lower. Names that are not in :data:`METRICS`
    have no better direction.
    """
    if name in METRICS:
        return METRICS[name]
    if name.startswith("ref/"):
        return Metric(name, f"{name.removeprefix('ref/')} loss", "lower")
    for suffix, words in SUFFIXES.items():
        base = METRICS.get(name.removesuffix(suffix))
        if name.endswith(suffix) and base is not None:
            return replace(base, name=name, label=base.label + words)
    return Metric(name, name.replace("_", " "))


def is_known(name: str) -> bool:
    """Return whether a name is that of a metric of losslab or of a reference loss.

    Example:
        >>> is_known("auroc"), is_known("ece_raw"), is_known("acuracy")
        (True, True, False)
    """
    suffixes = (name.removesuffix(suffix) for suffix in SUFFIXES)
    return name.startswith("ref/") or any(each in METRICS for each in (name, *suffixes))


def metric_of(name: str, task: Mapping[str, Any]) -> Metric:
    """Return the label of a metric, with the direction of the task's monitor if it has no other.

    Args:
        name: name without the split.
        task: the config's ``task``, with ``monitor`` and ``mode``.
    """
    found = metric(name)
    if found.better is None and name == task.get("monitor"):
        return replace(found, better="higher" if task.get("mode") == "max" else "lower")
    return found


def name_rarest(text: str, rarest: Collection[str | None]) -> str:
    """Name the rarest class in the label of a metric, if it is known.

    Args:
        text: the label.
        rarest: the name of the rarest class in each run.

    Example:
        >>> name_rarest("recall of the rarest class", ["3", "3"])
        'recall of class 3, the rarest'
        >>> name_rarest("recall of the rarest class", ["3", "5"])
        'recall of the rarest class (differs by seed)'
    """
    names = set(rarest)
    if None in names or not names:
        return text
    if len(names) > 1:
        return text.replace("rarest class", "rarest class (differs by seed)")
    named = f"class {names.pop()}, the rarest"
    return text.replace("the rarest class", named).replace("rarest class", named)


def primary_metric(task: Mapping[str, Any]) -> str:
    """Return the name of the metric by which the losses of a task are compared.

    Example:
        >>> primary_metric({"metrics": ["accuracy", "ece"], "monitor": "auroc"})
        'accuracy'
        >>> primary_metric({"metrics": [], "monitor": "auroc"})
        'auroc'
    """
    return str(next(iter(task.get("metrics") or []), task["monitor"]))
