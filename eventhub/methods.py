"""Methods: what a message does to its row. POST creates it, PUT changes it, DELETE removes it.

SEND is none of them: such a message has no row, and is not stored.
"""

from typing import Final, Literal, get_args

Method = Literal["POST", "PUT", "DELETE"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
SEND: Final = "SEND"
"""The `_method` of a message that only reaches the clients that listen now."""
