"""Methods: what a message does to its row. POST creates it, PUT changes it, DELETE removes it."""

from typing import Final, Literal, get_args

Method = Literal["POST", "PUT", "DELETE"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
