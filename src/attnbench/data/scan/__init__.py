"""Copies among the images of a dataset, and what else is odd about it."""
