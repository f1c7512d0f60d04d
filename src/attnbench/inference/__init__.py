"""Weights and cases in, predictions out."""
