"""Datasets, and the batches of a training."""
