"""``python -m losslab``: the command line."""

from losslab.cli import main

if __name__ == "__main__":
    main()
