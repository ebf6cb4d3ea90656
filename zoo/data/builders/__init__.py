"""Builders of TFDS for the datasets of our own."""

DIGITS = "digits"
OWN = (DIGITS, "linear_regression")
