"""TFDS builders for our own datasets."""

DIGITS = "digits"
OWN = (DIGITS, "linear_regression")
