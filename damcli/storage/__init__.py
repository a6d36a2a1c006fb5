"""Files: embeddings and anchors in HDF5, foreign formats; written whole or not at all."""
