"""Transactions: schema, file readers, bucket of data sets, synthetic data and split."""
