"""Runs beside their test folds: external test sets, corrupted images, fewer training groups."""
