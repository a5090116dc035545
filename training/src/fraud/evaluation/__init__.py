"""Evaluation of scores: metrics, intervals, permutation importance, pictures, the report."""
