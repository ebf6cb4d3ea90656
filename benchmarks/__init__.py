"""Measurements, and the tables that show them in the documents."""
