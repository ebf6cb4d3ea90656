"""What all architectures are trained with: losses, optimizers, a guard."""
