"""Models: their recipes, and functions that fit, save and load models."""
