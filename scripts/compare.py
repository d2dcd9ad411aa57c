"""The same as ``losslab compare``: python scripts/compare.py --help."""

import sys

from losslab.commands.compare import main

if __name__ == "__main__":
    sys.exit(main())
