"""The recipe of the paper and of the authors' solver files, run by Lightning."""
