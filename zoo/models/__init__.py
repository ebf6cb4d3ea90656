"""One architecture and its recipes per file, and what they share."""

# Importing these registers all architectures, see zoo/__init__.py: before a module of
# this package has begun, not in the middle of it.
import keras  # noqa: F401
import tensorflow  # noqa: F401
