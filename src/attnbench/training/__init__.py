"""Folds and a model's name in, trained weights out: one recipe for all models."""
