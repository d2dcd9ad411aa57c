"""What to type next, in a shell or in Python."""

from dataclasses import dataclass

from losslab.analysis.load import Run
from losslab.runs.folder import COMPARISON_FILE


@dataclass(frozen=True)
class Advice:
    """Phrases of one language, with fields for :meth:`str.format`."""

    another_loss: str
    """Compare ``losses``, an argument, with another loss at the same seeds."""
    components: str
    """Run the components ``losses`` of a sum alone, in its sweep."""
    tuned_components: str
    """Tune the components of a sum together with what was tuned; ``losses`` are all of them."""
    tuning: str
    """Tune the learning rate of each of ``losses``, an argument."""
    longer: str
    """Option that sets how long is trained."""
    margin: str
    """Compare within a margin of ``metric``."""
    seeds: str
    """Add ``more`` seeds; put behind a phrase that says how many are needed."""


SHELL = Advice(
    another_loss="{losses},OTHER",
    components="losslab resume=FOLDER loss={losses}",
    tuned_components="losslab tune loss={losses}, with the same other arguments",
    tuning="losslab tune {losses} protocol=tuned",
    longer="trainer.max_epochs",
    margin="losslab compare FOLDER --within {metric}=MARGIN",
    seeds="",
)
PYTHON = Advice(
    another_loss="add it to losses=... of losslab.compare",
    components="add them to losses=... of losslab.compare",
    tuned_components="add them to losses=... of losslab.tune",
    tuning="losslab.tune(...), with the arguments of losslab.compare",
    longer="max_epochs=...",
    margin='losslab.load(result.folder, within={{"{metric}": MARGIN}})',
    seeds=": result.extend(seeds={more})",
)


def made_in_python(run: Run) -> bool:
    """Return whether the sweep of a run, or the tuning around it, was begun in Python."""
    sweep = run.folder.parent.parent
    return any((folder / COMPARISON_FILE).is_file() for folder in (sweep, sweep.parent))
