"""Inputs of Snakemake from OpenNeuro and from buckets, verified: a storage plugin, to read only.

Snakemake finds it by the name of this package. The page is ``docs/snakemake.md``. Annotations of
the settings are no texts here, since Snakemake reads them.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from snakemake_interface_storage_plugins.io import Mtime, get_constant_prefix
from snakemake_interface_storage_plugins.settings import StorageProviderSettingsBase
from snakemake_interface_storage_plugins.storage_object import (
    StorageObjectGlob,
    StorageObjectRead,
)
from snakemake_interface_storage_plugins.storage_provider import (
    ExampleQuery,
    QueryType,
    StorageProviderBase,
    StorageQueryValidationResult,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snakemake_interface_storage_plugins.common import Operation
    from snakemake_interface_storage_plugins.io import IOCacheStorageInterface

    from neurofetch.opening.address import Address
    from neurofetch.workflow.files import Known, RemoteFiles

__all__ = ["StorageObject", "StorageProvider", "StorageProviderSettings"]


def _setting(about: str) -> Any:
    return field(default=None, metadata={"help": about, "env_var": False, "required": False})


@dataclass
class StorageProviderSettings(StorageProviderSettingsBase):  # type: ignore[misc]
    """Settings of the provider: in a Snakefile, or as ``--storage-neurofetch-…``."""

    profile: str | None = _setting(
        "Sign requests to buckets with the credentials of this profile of AWS. By default buckets "
        "are asked as nobody in particular."
    )
    signed: bool = field(
        default=False,
        metadata={"help": "Sign them with the keys in the environment.", "required": False},
    )
    requester_pays: bool = field(
        default=False,
        metadata={"help": "Whoever signs pays for what comes.", "required": False},
    )
    endpoint: str | None = _setting("An S3 server other than AWS, such as https://s3.example.edu.")
    region: str | None = _setting("Of the buckets; found out by default.")
    limit_rate: float | None = field(
        default=None,
        metadata={"help": "Bytes a second, at most.", "type": float, "required": False},
    )
    patience: float | None = field(
        default=None,
        metadata={
            "help": "Seconds to wait for a network that is away (default: 900).",
            "type": float,
            "required": False,
        },
    )


class StorageProvider(StorageProviderBase):  # type: ignore[misc]
    """Files of OpenNeuro and of buckets."""

    def __post_init__(self) -> None:
        self._made: RemoteFiles | None = None

    @property
    def files(self) -> "RemoteFiles":
        """Who asks the servers; made when the first is asked."""
        if self._made is None:
            from neurofetch.workflow.files import RemoteFiles  # noqa: PLC0415 - if it is used

            given = self.settings
            self._made = RemoteFiles(
                profile=given.profile,
                signed=given.signed,
                requester_pays=given.requester_pays,
                endpoint=given.endpoint,
                region=given.region,
                limit_rate=given.limit_rate,
                patience=given.patience,
            )
        return self._made

    @classmethod
    def example_queries(cls) -> list[ExampleQuery]:
        """Return what can be written in a Snakefile."""
        return [
            ExampleQuery(
                query="neurofetch://openneuro/ds000001@1.0.0/sub-01/anat/sub-01_T1w.nii.gz",
                description="A file of a version of a data set at OpenNeuro",
                type=QueryType.INPUT,
            ),
            ExampleQuery(
                query="neurofetch://s3/openneuro.org/ds000001/participants.tsv",
                description="An object of a bucket",
                type=QueryType.INPUT,
            ),
        ]

    def rate_limiter_key(self, query: str, operation: "Operation") -> str:  # noqa: ARG002
        """Return the bucket, or OpenNeuro: each has a limit of its own."""
        address = _parsed(query)
        return address.kind if address.kind == "openneuro" else f"s3://{address.place}"

    def default_max_requests_per_second(self) -> float:
        """Return the default limit. One listing tells of a whole folder, so few are made."""
        return 50.0

    def use_rate_limiter(self) -> bool:
        """Whether there is a limit."""
        return True

    @classmethod
    def is_valid_query(cls, query: str) -> StorageQueryValidationResult:
        """Whether a query names something that can be brought; wildcards may be in the path."""
        from neurofetch.errors import NeurofetchError  # noqa: PLC0415 - if it is used

        try:
            _parsed(query)
        except NeurofetchError as error:
            return StorageQueryValidationResult(query=query, valid=False, reason=str(error))
        return StorageQueryValidationResult(query=query, valid=True)

    def postprocess_query(self, query: str) -> str:
        """Return the query in the one way in which it is written."""
        from neurofetch.workflow.query import spelled  # noqa: PLC0415 - if it is used

        return spelled(_parsed(query))


class StorageObject(StorageObjectRead, StorageObjectGlob):  # type: ignore[misc]
    """A file, or a folder, on a server."""

    provider: StorageProvider

    @property
    def _address(self) -> "Address":
        return _parsed(self.query)

    def _suffix(self, key: str) -> str:
        from neurofetch.workflow.query import suffix_of  # noqa: PLC0415 - if it is used

        return suffix_of(self._address.at(key))

    def local_suffix(self) -> str:
        """Return where it is kept below the folder of the provider."""
        return self._suffix(self._address.key)

    def get_inventory_parent(self) -> str:
        """Return what stands for the folder that is listed."""
        parent: str = self.cache_key(self.local_suffix().rpartition("/")[0])
        return parent

    async def inventory(self, cache: "IOCacheStorageInterface") -> None:
        """Take what one listing tells of all files in the folder."""
        parent = self.get_inventory_parent()
        if parent in cache.exists_in_storage:
            return
        from neurofetch.errors import RefusedError  # noqa: PLC0415 - if it is used
        from neurofetch.workflow.files import Known  # noqa: PLC0415

        try:
            files = self.provider.files.beside(self._address)
        except RefusedError:  # it is not to be listed: each file is asked for by itself
            return
        cache.exists_in_storage[parent] = bool(files)
        for key, remote in files.items():
            name, known = self.cache_key(self._suffix(key)), Known((remote,))
            cache.exists_in_storage[name] = True
            cache.mtime[name] = Mtime(storage=known.mtime)
            cache.size[name] = known.size
            cache.checksum[name] = known.checksum

    def cleanup(self) -> None:
        """Leave what came of a file: the next attempt goes on from there."""

    def _known(self) -> "Known":
        known = self.provider.files.look(self._address)
        if known is None:
            from neurofetch.errors import MissingRemoteError  # noqa: PLC0415 - if it is used

            msg = f"there is no {self._address.name}. Check its name."
            raise MissingRemoteError(msg)
        return known

    def exists(self) -> bool:
        """Whether there is a file or folder of this name."""
        return self.provider.files.look(self._address) is not None

    def mtime(self) -> float:
        """Return when it was modified; 0 for what never changes."""
        return self._known().mtime

    def size(self) -> int:
        """Return the bytes of a file, 0 for a folder."""
        known = self._known()
        return 0 if known.folder else known.size

    def local_footprint(self) -> int:
        """Return the bytes that it takes here."""
        return self._known().size

    def checksum(self) -> str | None:
        """Return the hash that the listing tells, if it does."""
        return self._known().checksum

    def retrieve_object(self) -> None:
        """Bring it, verified to the last byte."""
        address = self._address
        place = self.provider.local_prefix / address.kind / address.place
        self.provider.files.bring(address, place)

    def list_candidate_matches(self) -> "Iterable[str]":
        """Give what may match the wildcards: all files below the last folder without any."""
        from neurofetch.workflow.query import spelled  # noqa: PLC0415 - if it is used

        address = self._address
        folder = get_constant_prefix(address.key, strip_incomplete_parts=True)
        files = self.provider.files.below(address.at(folder))
        return [spelled(address.at(file.key)) for file in files]


def _parsed(query: str) -> "Address":
    from neurofetch.workflow.query import parsed  # noqa: PLC0415 - if it is used

    return parsed(str(query))
