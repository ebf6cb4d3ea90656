"""Classifies images with an exported TFLite file and LiteRT, without TensorFlow.

    pip install ai-edge-litert pillow
    python examples/classify_litert.py \\
        runs/convnet-mnist/export/tflite/model_int8.tflite zoo/samples/digit.png
"""

from __future__ import annotations

import argparse
import pathlib

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps


class Classifier:
    """A TFLite file that takes images, with the labels.txt beside it."""

    def __init__(self, path: pathlib.Path, resize: str = "stretch"):
        self.resize = resize
        self.interpreter = Interpreter(str(path))
        self.interpreter.allocate_tensors()
        (self.input,) = self.interpreter.get_input_details()
        (self.output,) = self.interpreter.get_output_details()
        labels = path.with_name("labels.txt").read_text(encoding="utf-8")
        self.names = labels.splitlines()

    def __call__(self, image: Image.Image) -> tuple[str, float]:
        """Returns the most probable class of an image, and its probability."""
        _, height, width, channels = self.input["shape"]
        image = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
        size, bilinear = (width, height), Image.Resampling.BILINEAR
        if self.resize == "stretch":
            image = image.resize(size, bilinear)
        else:
            fitted = ImageOps.fit if self.resize == "crop" else ImageOps.pad
            image = fitted(image, size, bilinear)
        # Raw pixels, 0 to 255: the model scales them itself.
        values = np.asarray(image, np.float32).reshape(self.input["shape"])
        scale, zero_point = self.input["quantization"]  # (0, 0) in a float32 file
        if scale:
            values = np.rint(values / scale) + zero_point
        self.interpreter.set_tensor(
            self.input["index"], values.astype(self.input["dtype"])
        )
        self.interpreter.invoke()
        (values,) = self.interpreter.get_tensor(self.output["index"])
        scale, zero_point = self.output["quantization"]
        if scale:
            values = (values.astype(np.float32) - zero_point) * scale
        return self.names[values.argmax()], float(values.max())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Classifies images with LiteRT.")
    parser.add_argument("file", type=pathlib.Path, help="the TFLite file")
    parser.add_argument("images", type=pathlib.Path, nargs="+", help="image files")
    parser.add_argument(
        "--resize",
        choices=("stretch", "crop", "pad"),
        default="stretch",
        help="how the training resized images, see the model card",
    )
    args = parser.parse_args()
    if not args.file.is_file():
        parser.error(f"{args.file} does not exist.")
    classify = Classifier(args.file, args.resize)
    for path in args.images:
        print(path, *classify(Image.open(path)))
