"""What was done to a network when it was made, for the console and the record of its run."""

from torch import nn


def add_note(network: nn.Module, note: str) -> None:
    """Keep a note of what was done to a network."""
    vars(network)["losslab_notes"] = (*notes_of(network), note)


def notes_of(network: nn.Module) -> tuple[str, ...]:
    """Return the notes of a network, in order."""
    notes: tuple[str, ...] = vars(network).get("losslab_notes", ())
    return notes
