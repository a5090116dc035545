"""Models: recipes, and how models are fitted, saved and loaded."""
