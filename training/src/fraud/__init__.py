"""Fraud models on the credit card data: trained, compared and tracked in MLflow."""

from importlib.metadata import version

__version__ = version("fraud")
