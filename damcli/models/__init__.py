"""Face-recognition models: what their checkpoints hold."""
