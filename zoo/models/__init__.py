"""One file per architecture with its recipes; all share ``base``."""

# Both must be imported completely before any module of this package: importing Keras
# registers the architectures, see zoo/__init__.py.
import keras  # noqa: F401
import tensorflow  # noqa: F401
