"""Parts that all architectures share: losses, optimizers, layers, a guard."""
