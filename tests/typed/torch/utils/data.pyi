# What docs/loader.md uses of PyTorch, which is too large to be installed for a check of types.
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)

class Dataset(Generic[T_co]):
    def __getitem__(self, index: Any) -> T_co: ...

class DataLoader(Generic[T_co]):
    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        num_workers: int = 0,
    ) -> None: ...
    def __iter__(self) -> Iterator[Any]: ...
