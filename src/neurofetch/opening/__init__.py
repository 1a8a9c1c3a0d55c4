"""One file of a server, opened without a download: only what is read comes.

`neurofetch.open` gives a file object, `cached_path` the path of a verified copy, and
`neurofetch.opening.filesystem` is the file system for fsspec, which pandas, Dask, Zarr and others
find by URLs that begin with ``neurofetch://``.
"""

from neurofetch.opening.front import cached_path, open  # noqa: A004

__all__ = ["cached_path", "open"]
