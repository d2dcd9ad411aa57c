"""Passports of losses: what a loss is, found by calling it on small problems."""

from losslab.passport.adapting import adapted, call, find_adapters, overrides
from losslab.passport.links import NumericLink
from losslab.passport.passport import Passport, notes_on, probe, warnings_of
from losslab.passport.problems import PROBED, SHAPES, Shape
from losslab.passport.trial import Trial, cached_trial, try_format

__all__ = [
    "PROBED",
    "SHAPES",
    "NumericLink",
    "Passport",
    "Shape",
    "Trial",
    "adapted",
    "cached_trial",
    "call",
    "find_adapters",
    "notes_on",
    "overrides",
    "probe",
    "try_format",
    "warnings_of",
]
