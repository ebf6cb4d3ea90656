"""One architecture and its recipes per file; ``base`` and ``common`` are for all."""

# Both are complete before a module of this package begins: importing Keras registers
# the architectures, see zoo/__init__.py.
import keras  # noqa: F401
import tensorflow  # noqa: F401
