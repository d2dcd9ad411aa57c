"""The table of finished runs: python scripts/compare.py FOLDER [FOLDER ...]."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from losslab.runs.folder import find_runs
from losslab.runs.record import read_record
from losslab.runs.table import sweep_table


def main() -> int:
    """Read the records below the folders and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="sweeps or runs")
    folders = parser.parse_args().folders
    records = {run: read_record(run) for folder in folders for run in find_runs(folder)}
    if not records:
        print(f"error: no run below {', '.join(map(str, folders))}", file=sys.stderr)
        return 2
    Console().print(sweep_table(records))
    return 0


if __name__ == "__main__":
    sys.exit(main())
