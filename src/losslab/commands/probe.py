"""Find out what a loss accepts and estimates: losslab probe loss=focal."""

from collections.abc import Sequence

from losslab.commands.parser import Parser
from losslab.config import user_code
from losslab.config.errors import UserError, cli_errors


def main(given: Sequence[str] | None = None) -> int:
    """Print the passport of a loss."""
    parser = Parser(prog="losslab probe", description=__doc__)
    parser.add_argument(
        "overrides", nargs="+", help="loss=NAME or loss._target_=CLASS, and options"
    )
    arguments = parser.parse_args(given)
    with cli_errors():
        print(passport_of(arguments.overrides))
    return 0


def passport_of(overrides: Sequence[str]) -> str:
    """Return the passport of the loss that a command line chooses, as a card.

    Raises:
        UserError: if it chooses something else too, or if the loss cannot be built.
    """
    # --help needs none of it
    from losslab.config.expansion import complete  # noqa: PLC0415
    from losslab.config.jobs import compose_jobs  # noqa: PLC0415
    from losslab.loss_building import build_loss  # noqa: PLC0415
    from losslab.losses import TargetFormat  # noqa: PLC0415
    from losslab.passport import probe  # noqa: PLC0415
    from losslab.passport.problems import CLASSES, SHAPES  # noqa: PLC0415

    chosen = user_code.use(overrides)
    known = ("loss=", "loss.", f"{user_code.SEARCH_PATH}=")
    others = [each for each in chosen if not each.lstrip("+").startswith(known)]
    if others:
        raise UserError(f"expected loss=NAME or loss._target_=CLASS and options, got {others[0]}")
    [job] = compose_jobs([complete([*chosen, "data=digits"])])  # any: none are read
    [dimensions] = SHAPES[TargetFormat.LABELLED_EMBEDDINGS]
    try:
        loss = build_loss(job.config.loss, None)
    except UserError:  # it compares embeddings with vectors of its own
        sizes = {"num_classes": CLASSES, "embedding_size": dimensions}
        loss = build_loss(job.config.loss, None, sizes)
    return str(probe(loss))
