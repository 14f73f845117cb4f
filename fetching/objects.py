"""What object storages have in common, as far as we read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One entry of a listing.

    Attributes:
        modified: seconds since the epoch, by the storage's clock.
    """

    key: str
    size: int
    modified: float


class ObjectStore(Protocol):
    """One kind of storage."""

    def listing(self, bucket: str, prefix: str) -> Iterator[StoredObject]:
        """Give what begins with `prefix`, page by page, in the storage's order, which is that of the keys' bytes."""
        ...

    def copy(self, bucket: str, key: str, sink: BinaryIO, max_bytes: int, beat: Callable[[], None]) -> None:
        """Write one object into an empty `sink`, within the caller's deadline. Raises FetchError."""
        ...

    def close(self) -> None:
        """Give the connections back."""
        ...
