"""Pictures of finished runs and of augmentations."""
