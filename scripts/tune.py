"""The same as ``losslab tune``: python scripts/tune.py --help."""

import sys

from losslab.commands.tune import main

if __name__ == "__main__":
    sys.exit(main())
