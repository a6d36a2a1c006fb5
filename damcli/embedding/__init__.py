"""Images through a model into a file of embeddings."""
