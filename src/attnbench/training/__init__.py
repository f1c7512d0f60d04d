"""From folds and a model's name to trained weights, under one recipe for all models."""
