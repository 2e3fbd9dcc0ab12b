"""Tables and figures, made from results on disk and from the paper's numbers; no torch in here."""
