"""Serves the web page of an exported run on 127.0.0.1.

python -m export.serve --run_dir=runs/convnet-mnist
python -m export.serve --run_dir=runs/convnet-mnist --port=8080
"""

from __future__ import annotations

import functools
import http.server
import os
import pathlib
import sys
from typing import Any, BinaryIO

from zoo import console
from zoo.errors import UserError
from zoo.records.rundir import finished_run

FLAGS = console.Flags()
FLAGS.string("run_dir", None, "The run whose export/web is served.")
FLAGS.integer("port", 8000, "The port to listen on; 0 for any free one.")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves static files without logging requests."""

    # Without these, the types would depend on the tables of the machine.
    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".wasm": "application/wasm",
        ".tflite": "application/octet-stream",
    }

    def send_head(self) -> BinaryIO | None:
        """Answers 404 to names that no file can have, such as a zero byte."""
        try:
            return super().send_head()
        except ValueError:
            self.send_error(404, "File not found")
            return None

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing."""


class Server(http.server.ThreadingHTTPServer):
    """A server that ignores browsers that close the connection early."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints the traceback of anything else."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def server(directory: pathlib.Path, port: int = 0) -> http.server.ThreadingHTTPServer:
    """Returns a server of a folder on 127.0.0.1.

    Raises:
        UserError: the port is in use or does not exist.
    """
    handler = functools.partial(Handler, directory=directory)
    try:
        return Server(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"Cannot listen on 127.0.0.1:{port}: {error}. Choose another --port, 0 "
            "for any."
        ) from None


def main(argv: list[str]) -> None:
    """Serves until Ctrl-C."""
    if extra := console.parse_flags(argv, __doc__, FLAGS):
        raise UserError(f"Only flags are taken. Received: {' '.join(extra)}.")
    if FLAGS.run_dir is None:
        raise UserError("--run_dir is missing: the run whose page is served.")
    web = pathlib.Path(FLAGS.run_dir) / "export" / "web"
    # os.path answers False where pathlib raises: names too long, before Python 3.12.
    if not os.path.isfile(web / "index.html"):  # noqa: PTH113
        finished_run(FLAGS.run_dir)
        raise UserError(
            f"{web} has no page. Run: python -m export --run_dir={FLAGS.run_dir} "
            "--formats=web"
        )
    with server(web, FLAGS.port) as serving:
        print(f"http://127.0.0.1:{serving.server_port}/  (Ctrl-C ends it)", flush=True)
        serving.serve_forever()


if __name__ == "__main__":
    console.main(main)
