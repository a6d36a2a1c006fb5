"""Better verification from the embeddings you already have."""

from importlib.metadata import version

__version__ = version("damcli")
