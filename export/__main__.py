"""python -m export: see zoo/commands/export.py."""

from zoo.__main__ import main

if __name__ == "__main__":
    main("export")
