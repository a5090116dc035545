"""Fraud models on the credit card data: trained, compared and tracked in MLflow.

Layers, lowest first; a module imports from its own layer or a lower one:
`types`, `errors`, `settings`, `signals`; `data`; `evaluation`; `models`; `tracking`; `screen`;
`train`, `promote`, `predict`; `cli`.
"""

from importlib.metadata import version

__version__ = version("fraud")
