"""TFDS builders for what TFDS does not have: one file per dataset."""
