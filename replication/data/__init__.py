"""Data: archives and folders in, the canonical layout out; torch is not imported here."""
