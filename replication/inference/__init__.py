"""Images to score maps: the network's stage, the score store and the enlargement."""
