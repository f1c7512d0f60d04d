"""Models beside their test folds: other datasets, corrupted images, fewer training groups."""
