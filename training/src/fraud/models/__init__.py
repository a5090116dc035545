"""Models: the recipes, how they are fitted, and how they are saved and loaded."""
