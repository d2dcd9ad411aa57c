"""Test claims about losses and draw maps, a page for each: losslab gallery [CLAIM ...]."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from losslab.commands.parser import Parser, share, whole
from losslab.config.errors import cli_errors, resumable
from losslab.gallery import run as gallery
from losslab.gallery.maps import MAPS
from losslab.job_checks import require_log_dir


def main(given: Sequence[str] | None = None) -> int:
    """Make the missing runs, the pages and the index."""
    parser = Parser(prog="losslab gallery", description=__doc__)
    known = ", ".join((*gallery.ORDER, *MAPS))
    parser.add_argument("claims", nargs="*", help=f"among {known}; default: all")
    parser.add_argument("--jobs", type=whole, default=2, help="worker processes (default: 2)")
    parser.add_argument(
        "--logs", type=Path, default=Path("logs/gallery"), help="folder of the runs"
    )
    parser.add_argument(
        "--docs", type=Path, default=Path("docs/gallery"), help="folder of the pages"
    )
    parser.add_argument("--pages-only", action="store_true", help="make no runs")
    parser.add_argument("--share", type=share, help=argparse.SUPPRESS)  # for worker processes
    arguments = parser.parse_args(given)
    with cli_errors(), resumable("run the same command again"):
        if arguments.share:
            part, parts = arguments.share
            return gallery.run_share(arguments.claims[0], part, parts, arguments.logs)
        for option in ("logs", "docs"):
            require_log_dir(str(getattr(arguments, option)), f"--{option}")
        return gallery.make_gallery(
            arguments.claims,
            jobs=arguments.jobs,
            logs=arguments.logs,
            docs=arguments.docs,
            pages_only=arguments.pages_only,
        )
