"""Trains a model of the zoo: see zoo/commands/train.py."""

from zoo import door

if __name__ == "__main__":
    door.run("zoo.commands.train")
