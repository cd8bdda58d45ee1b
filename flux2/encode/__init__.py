"""The way from a prompt to its embeddings."""
