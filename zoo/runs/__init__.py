"""Finished runs and exported files: everything that can predict."""
