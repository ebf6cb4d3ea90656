"""Serves an exported SavedModel over HTTP with FastAPI.

    pip install ".[serve]"
    python examples/serve_http.py runs/convnet-mnist/export
    curl --data-binary @zoo/samples/digit.png localhost:8080/classify

The body of a request is an image file of any size, such as a PNG or a JPEG. The
SavedModel decodes and resizes it, so preprocessing cannot differ from the training's.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys

try:
    import fastapi
    import tensorflow as tf
    import uvicorn
except ModuleNotFoundError as error:
    sys.exit(f'Error: {error}. Run: pip install ".[serve]"')


def make_app(export: pathlib.Path) -> fastapi.FastAPI:
    """Returns the application that serves the export of a classifier."""
    app = fastapi.FastAPI(title="A classifier of images")
    model = tf.saved_model.load(str(export / "saved_model" / "1"))
    answer = model.signatures["serve_bytes"]
    described = json.loads((export / "export.json").read_text(encoding="utf-8"))
    names = described["data"]["class_names"]

    @app.post("/classify")
    def classify(image: bytes = fastapi.Body()) -> dict[str, float]:
        """Returns the probability of each class."""
        try:
            served = answer(image_bytes=tf.constant([image]))
        except tf.errors.InvalidArgumentError:
            raise fastapi.HTTPException(400, "The body is not an image.") from None
        return dict(
            zip(names, served["probabilities"][0].numpy().tolist(), strict=True)
        )

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serves a SavedModel over HTTP.")
    parser.add_argument("export", type=pathlib.Path, help="the export of a run")
    parser.add_argument("--port", type=int, default=8080)
    args = parser.parse_args()
    if not (args.export / "saved_model" / "1").is_dir():
        parser.error(
            f"{args.export} has no saved_model. Run: python -m export "
            f"--run_dir={args.export.parent} --formats=saved_model"
        )
    uvicorn.run(make_app(args.export), host="127.0.0.1", port=args.port)
