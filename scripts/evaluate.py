"""The same as ``losslab evaluate``: python scripts/evaluate.py --help."""

import sys

from losslab.commands.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
