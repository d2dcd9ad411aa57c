"""Plot losses and their gradients: python scripts/plot_losses.py loss=mse,mae,huber loss.delta=2.

Each loss takes only the options that it has; several values give one line each:
python scripts/plot_losses.py loss=focal loss.gamma=0,1,2,5 --probability
"""

import argparse
import sys
from pathlib import Path


def main() -> int:
    """Plot the losses in one figure, saved as PNG and SVG."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="+", metavar="loss=NAME[,NAME...] loss.OPTION=VALUE")
    parser.add_argument(
        "--probability",
        action="store_true",
        help="plot against the probability instead of the margin",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("logs/losses"),
        help="path without suffix; default: %(default)s",
    )
    arguments = parser.parse_args()

    from losslab.config.errors import cli_errors  # noqa: PLC0415 (--help needs none of it)
    from losslab.loss_shapes import chosen_losses, evaluate_losses  # noqa: PLC0415
    from losslab.report.figures import style  # noqa: PLC0415
    from losslab.report.figures.loss_shapes import loss_shapes  # noqa: PLC0415

    with cli_errors():
        losses = chosen_losses(arguments.overrides)
        shapes, without = evaluate_losses(losses, probability=arguments.probability)
    for line in without:
        print(f"cannot be plotted along one dimension: {line}")
    if shapes:
        print("\n".join(map(str, style.save(loss_shapes(shapes), arguments.output))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
