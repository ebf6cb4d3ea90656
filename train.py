"""Trains a model of the zoo: see zoo/commands/train.py."""

from zoo.__main__ import main

if __name__ == "__main__":
    main("train")
