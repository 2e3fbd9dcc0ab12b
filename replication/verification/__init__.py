"""A result evaluated again from what it was made from, and compared figure by figure."""
