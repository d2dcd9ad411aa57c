"""Train, sweep and resume: python train.py --help."""

from losslab.cli import main

if __name__ == "__main__":
    main()
