"""Measurements, and the documents that quote them."""
