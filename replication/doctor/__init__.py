"""What is wrong with a set-up, and how to cure it: one line for each thing looked at."""
