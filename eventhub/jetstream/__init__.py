"""EventStream on NATS JetStream. Nothing else imports `nats`.

A connection to the servers: `connection` stays connected, `subscription` and `requests` receive
over it, `parser` cuts what the servers send into messages, `api` asks JetStream, `credentials`
reads a `.creds` file, and `certificates` the files of TLS. `permissions` lists what a server has to
allow.

The write side, for each stream: `writer` is the loop of the group commit, `write_queue` decides
what goes together, `batches` and `singles` store it, `publisher` sends it and receives the
acknowledgements, and `write` is one append.

The read side: `pull` asks for messages, `follower` reads a stream with it, and `work_queue` hands
out work; `stream_state` and `damage` notice what a stream has lost.

`log` makes streams (`making`), and `stream` is one of them. `records` keeps small values, and
`objects` large ones. `sealing` moves old events into these, and `retained` reads them.
"""

from eventhub.jetstream.certificates import TlsFiles
from eventhub.jetstream.log import JetStreamLog
from eventhub.jetstream.permissions import SNAPSHOTS, Tables, as_jwt, as_users

__all__ = ["SNAPSHOTS", "JetStreamLog", "Tables", "TlsFiles", "as_jwt", "as_users"]
