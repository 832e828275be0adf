"""Little room: a hub with less room for unread rows, and shorter deadlines, than usual."""

from eventhub import cli
from projections import pace, snapshot

EACH_BYTES, ALL_BYTES = 40 << 20, 128 << 20

if __name__ == "__main__":
    snapshot.EACH_BYTES, snapshot.ALL_BYTES = EACH_BYTES, ALL_BYTES
    snapshot.MEMORY_BYTES = 1 << 20
    pace.PATIENCE_SECONDS = 1.0
    cli.main()
