"""One training run: what it is asked for, what it does, what it leaves behind."""
