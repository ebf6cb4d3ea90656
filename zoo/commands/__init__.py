"""The commands `train` and `export`, which may import everything else."""
