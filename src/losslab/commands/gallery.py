"""Try claims about losses, a page each in docs/gallery: losslab gallery [CLAIM ...]."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from losslab.config.errors import cli_errors
from losslab.gallery import run as gallery


def main(given: Sequence[str] | None = None) -> int:
    """Make the runs that are not there yet, the pages and the index."""
    parser = argparse.ArgumentParser(prog="losslab gallery", description=__doc__)
    parser.add_argument("claims", nargs="*", help=f"of {', '.join(gallery.ORDER)}; default: all")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes (default: 2)")
    parser.add_argument("--logs", type=Path, default=Path("logs/gallery"), help="place of the runs")
    parser.add_argument("--docs", type=Path, default=Path("docs/gallery"), help="of the pages")
    parser.add_argument("--pages-only", action="store_true", help="make no run")
    parser.add_argument("--share", help=argparse.SUPPRESS)  # what a worker process is given
    arguments = parser.parse_args(given)
    with cli_errors("interrupted; the same command goes on"):
        if arguments.share:
            part, parts = map(int, arguments.share.split("/"))
            return gallery.run_share(arguments.claims[0], part, parts, arguments.logs)
        return gallery.run(
            arguments.claims,
            jobs=arguments.jobs,
            logs=arguments.logs,
            docs=arguments.docs,
            pages_only=arguments.pages_only,
        )
