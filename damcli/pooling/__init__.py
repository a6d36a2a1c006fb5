"""Embeddings of images to one embedding for each template."""
