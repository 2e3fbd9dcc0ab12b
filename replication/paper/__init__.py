"""What the paper reports, which run fills each of its cells, and the rule that judges a cell."""
