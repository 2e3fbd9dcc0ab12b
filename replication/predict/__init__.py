"""Anyone's images through a trained network: what `replication predict` does."""
