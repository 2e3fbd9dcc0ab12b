"""Tables and figures, made from results on disk and from the paper's numbers.

No torch in here but where a figure is about convolutions and networks themselves (2, 3 and 7).
"""
