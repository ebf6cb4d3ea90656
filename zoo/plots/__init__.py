"""Pictures of a finished run, R/plots."""
