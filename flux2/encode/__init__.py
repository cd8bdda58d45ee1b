"""From a prompt to its embeddings."""
