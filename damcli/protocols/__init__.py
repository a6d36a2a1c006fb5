"""Where pairs come from: lists in files, and the subjects of the embeddings themselves."""
