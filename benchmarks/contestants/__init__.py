"""The contestants: each module does the same work in its own way."""
