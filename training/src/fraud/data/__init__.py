"""Transactions: the schema, files, the bucket of data sets, the synthetic data and the split."""
