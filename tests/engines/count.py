"""Counts in a file up to a goal, a line per step, and continues where it was interrupted."""

import os
import signal
import sys
import time
from pathlib import Path

from losslab.engines import end_with_job, is_gone, own_job
from losslab.runs.claims import claim, use_engine


def main(file, goal):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    end_with_job()
    use_engine(own_job, is_gone)
    with claimed(file.with_suffix(".unit")):
        begun = len(file.read_text().splitlines()) if file.exists() else 0
        for _ in range(begun, goal):
            with file.open("a") as output:
                words = (own_job(), os.getpid(), Path.cwd(), os.environ.get("OF_THE_USER"))
                print(*words, file=output)
            time.sleep(0.1)


def claimed(folder):
    folder.mkdir(exist_ok=True)
    while True:
        try:
            return claim(folder)
        except FileExistsError:
            time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
