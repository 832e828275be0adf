"""Objects: large values by name, each there only once it is whole.

Two implementations pass the contract tests: `jetstream/objects.py` for a bucket of JetStream, and
`projections/stored/folder.py` for a folder.
"""

from typing import NamedTuple, Protocol


class Listed(NamedTuple):
    """The names in a store of objects, sorted."""

    whole: list[str]
    unfinished: list[str]
    """Of objects that are being stored, or whose writer was killed."""


class Objects(Protocol):
    """A store of objects. A name has letters, digits, `-` and `.`, and does not begin with `.`."""

    async def listed(self) -> Listed:
        """Return the names of all objects.

        Raises:
            Unavailable: the store cannot be read now.
        """

    async def put(self, name: str, data: bytes) -> None:
        """Store an object durably, under a name that no other object has.

        Raises:
            Unavailable: it cannot be stored now; `get` does not find it.
        """

    async def get(self, name: str) -> bytes | None:
        """Return an object; None if there is none of this name.

        Raises:
            Damaged: what is stored is not what was put.
            Unavailable: the store cannot be read now.
        """

    async def delete(self, name: str) -> None:
        """Delete an object, or what is left of an unfinished one; a missing one is no error.

        Raises:
            Unavailable: the store cannot be changed now.
        """
