"""The same work on a Dask cluster: results, tables and files as from one machine."""

from damcli.cluster.connecting import open_cluster

__all__ = ["open_cluster"]
