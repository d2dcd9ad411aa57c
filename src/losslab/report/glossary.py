"""Glossary of a report: what its terms mean, one line each, only those that occur."""

import re

TERMS: dict[str, tuple[str, str]] = {
    "seeds": (
        r"\bseeds?\b",
        "repetitions; at one seed all losses have the same data, initial weights and batches",
    ),
    "95 % interval": (
        r"95 % interval",
        "range that covers the true mean in 95 of 100 such experiments",
    ),
    "p": (
        r"\bp = |\bp\b.*Holm",
        "how often chance alone would give a difference at least this large; small is convincing",
    ),
    "Holm": (
        r"\bHolm",
        "correction of p-values for several comparisons: among equal losses, at most one report in "
        "twenty finds any difference",
    ),
    "Bonferroni": (
        r"\bBonferroni",
        "correction of p-values by the number of comparisons, used with margins and many rows",
    ),
    "sign flips": (
        r"(?<!trimmed )(?<!stratified )\bsign flips\b",
        "exact test: how often randomly swapped losses would differ this much",
    ),
    "corrected t": (
        r"\bcorrected t\b",
        "t-test that accounts for seeds that share samples (Nadeau and Bengio 2003)",
    ),
    "crossed t": (
        r"\bcrossed t\b",
        "t-test with seeds and test samples as two sources of chance",
    ),
    "stratified sign flips": (
        r"\bstratified sign flips\b",
        "sign flips over all seeds of several data sets, which count equally",
    ),
    "Satterthwaite's t": (
        r"\bSatterthwaite",
        "t-test of the mean over data sets, from the standard error on each of them",
    ),
    "Friedman's test": (
        r"\bFriedman",
        "test by ranks on several data sets of whether the losses differ at all",
    ),
    "Wilcoxon": (r"\bWilcoxon", "test by ranks of two losses' differences on several data sets"),
    "sign test": (r"\bsign test\b", "exact test of the median, by the number of seeds ahead"),
    "trimmed sign flips": (
        r"\btrimmed sign flips\b",
        "sign flips for the interquartile mean, which leaves out the outer half of the seeds",
    ),
    "McNemar's test": (r"\bMcNemar", "exact test of how often either loss fails at the same seeds"),
    "intersection-union test": (
        r"\bintersection-union test\b",
        "several differences are all there if each is significant; no further correction is needed",
    ),
    "Pareto front": (
        r"\bPareto front\b",
        "points that no other one beats in one metric without losing in the other",
    ),
    "paired SD": (
        r"\bpaired SD\b",
        "standard deviation over seeds of the difference of two losses",
    ),
    "minimum detectable effect": (
        r"\bminimum detectable effect\b|\bMDE\b",
        "smallest true difference that this number of seeds finds four times in five",
    ),
    "equivalent": (
        r"\bequivalent\b|\bequally good\b",
        "shown to differ by less than the margin, which is stronger than not shown to differ",
    ),
    "underpowered": (
        r"\bunderpowered\b",
        "too few seeds for a difference of any size to be significant",
    ),
    "collapsed": (r"\bcollapsed\b", "finished, but far worse than the loss does at other seeds"),
    "cost": (
        r"\bcost\b",
        "time of forward and backward of the loss and memory it keeps, per batch; then the time of "
        "a whole training step and the peak memory of the run",
    ),
    "ECE": (
        r"\bECE\b|\bece\b",
        "expected calibration error: how far stated confidence is from the share that is right",
    ),
    "Brier score": (
        r"\bBrier\b|\bbrier\b",
        "mean squared distance of probabilities from what was true",
    ),
    "information gain": (
        r"information gain",
        "bits per sample by which probabilities beat the shares of the classes in training; 0 is "
        "guessing",
    ),
    "AUROC": (
        r"\bAUROC\b|\bauroc\b",
        "probability that a positive scores above a negative; 0.5 is chance",
    ),
    "EER": (
        r"\bEER\b|\beer\b",
        "equal error rate: share of wrong decisions on pairs, at the threshold at which it is the "
        "same for pairs of one class and pairs of two; 0.5 is chance",
    ),
    "TAR at FAR": (
        r"\bTAR at FAR\b|tar_at_far",
        "share accepted of the pairs of one class, at a threshold that accepts this share of the "
        "pairs of two classes",
    ),
    "F1": (r"\bF1\b|\bf1_", "harmonic mean of precision and recall"),
    "R²": (r"R²|\br2\b", "share of the target's variance that is explained; 1 is perfect"),
    "IoU": (r"\bIoU\b|\biou\b", "overlap of two masks: intersection over union"),
    "Dice": (r"\bDice\b", "overlap of two masks: twice the intersection over the sum of areas"),
    "one temperature": (
        r"one temperature|temperature_scaled",
        "after dividing all scores by one number that is fitted on validation",
    ),
    "Chamfer distance": (
        r"\bChamfer\b",
        "mean distance of each point to the nearest point of the other cloud",
    ),
    "earth mover's distance": (
        r"earth mover",
        "mean distance of points under the best one-to-one matching of two clouds",
    ),
}
"""Pattern that finds a term, and its meaning."""


def glossary(text: str) -> dict[str, str]:
    """Return the meanings of the terms that occur in a report's text.

    Example:
        >>> list(glossary("accuracy: p = 0.02 (sign flips)"))
        ['p', 'sign flips']
    """
    return {term: meaning for term, (found, meaning) in TERMS.items() if re.search(found, text)}
