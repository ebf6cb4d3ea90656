"""What a comparison does when it is run by itself: --rounds in, its result out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any


def main(measure: Callable[[int], dict[str, Any]], doc: str, *, rounds: int) -> None:
    """Prints what ``measure`` returns as JSON.

    Args:
        measure: takes the number of turns.
        doc: what --help says.
        rounds: unless --rounds says otherwise.
    """
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--rounds", type=int, default=rounds)
    print(json.dumps(measure(parser.parse_args().rounds), indent=2))
