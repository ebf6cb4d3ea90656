"""Builders of TFDS for the datasets of our own."""

DIGITS, LINEAR_REGRESSION = OWN = ("digits", "linear_regression")
