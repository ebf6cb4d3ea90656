"""Training runs: their configuration, the training itself, and the run directory."""
