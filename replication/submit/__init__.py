"""Archives for the test servers that hold the labels of tables 5 and 8."""
