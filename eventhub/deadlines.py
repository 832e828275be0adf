"""Deadlines: how long each part of a hub may take to close.

A hub that stops closes its live connections first, then waits for requests, and closes the tables
and the broker's connection last. `server.drain` bounds its services together.
"""

from typing import Final

CLOSE_FRAME_SECONDS: Final = 5.0
"""For a client to answer a close frame."""
CONNECTION_SECONDS: Final = 3.0
"""For all that one connection is sent before it is closed: answers, reason and close frame."""
REQUESTS_SECONDS: Final = 5.0
"""For HTTP requests to be answered, once the live connections are closed."""
BROKER_SECONDS: Final = 2.0
"""For the connection to the broker."""
TABLES_SECONDS: Final = 10.0
"""For the last fold and checkpoint of the tables; then what runs is interrupted."""
