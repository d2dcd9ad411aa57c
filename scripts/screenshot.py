"""Save what a page shows at 1280 x 900, for the docs: screenshot.py ADDRESS FILE.

docs/images/tensorboard.png is made of README's sweep, with `tensorboard --logdir logs` running:
python scripts/screenshot.py 'http://localhost:6006/?runFilter=mean' docs/images/tensorboard.png
"""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))

from chromium import Page, find_browser

SECONDS = 10
"""Time to wait for what a page loads and draws after it has opened."""


def main() -> None:
    """Open the page in a headless Chromium and save it with few colours, as a small file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    browser = find_browser()
    if browser is None:
        parser.error("no Chromium on this machine (Debian: apt-get install chromium)")
    with TemporaryDirectory() as profile:
        page = Page(browser, Path(profile))
        page.open(arguments.address)
        time.sleep(SECONDS)
        page.screenshot(arguments.file)
        page.close()
    with Image.open(arguments.file) as image:
        image.convert("RGB").quantize(128).save(arguments.file, optimize=True)


if __name__ == "__main__":
    main()
