"""The same as ``losslab gallery``: python scripts/gallery.py --help."""

import sys

from losslab.commands.gallery import main

if __name__ == "__main__":
    sys.exit(main())
