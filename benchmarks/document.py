"""Tables in documents, between two markers, rewritten by commands alone."""

from __future__ import annotations

import pathlib
import re

from zoo import files
from zoo.errors import UserError


def rewrite(path: pathlib.Path, name: str, text: str) -> None:
    """Replaces what stands between ``<!-- name -->`` and ``<!-- /name -->``.

    Raises:
        UserError: the document has no such markers.
    """
    document = path.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(document):
        raise UserError(f"{path} has no markers <!-- {name} --> and <!-- /{name} -->.")
    replaced = pattern.sub(lambda match: match[1] + text + match[2], document)
    files.write_bytes(path, replaced.encode())
