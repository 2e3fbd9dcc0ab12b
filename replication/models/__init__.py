"""Networks made dense by atrous convolution, and the weights that they start from."""
