"""python -m export: see zoo/commands/export.py."""

from zoo import door

if __name__ == "__main__":
    door.run("zoo.commands.export")
