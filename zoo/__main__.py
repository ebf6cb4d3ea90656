"""python -m zoo, and the command zoo that pip installs: see zoo/commands/cli.py."""

from zoo import door


def main() -> None:
    """Runs the command line."""
    door.run("zoo.commands.cli")


if __name__ == "__main__":
    main()
