"""python -m zoo: see zoo/cli.py."""

from zoo import cli, console

if __name__ == "__main__":
    console.main(cli.main)
