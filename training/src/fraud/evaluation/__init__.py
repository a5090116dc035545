"""How good scores are: metrics, intervals, permutation importance, pictures and the report."""
