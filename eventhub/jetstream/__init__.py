"""EventStream on NATS JetStream. Nothing else imports `nats`.

`connection` stays connected and `parser` cuts what the server sends; `writer` appends, `pull`
asks for messages, `follower` reads a stream with them and `work_queue` hands out work; `log` puts
them together.
"""

from eventhub.jetstream.log import JetStreamLog

__all__ = ["JetStreamLog"]
