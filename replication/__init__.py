"""DeepLab v2 (arXiv 1606.00915), replicated: one pipeline from archives to tables."""

__version__ = "0.1.0"
