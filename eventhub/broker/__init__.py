"""The embedded broker: a nats-server of our own as a child process, for one data folder.

    async with EmbeddedBroker(folder) as broker:
        ...  broker.url, broker.token, broker.pid

`embedded` keeps a server running. `server` is one process of nats-server, `folder` locks the data
folder, `staging` keeps batches in memory, and `blocks` finds damage that the server cannot read.
"""

from eventhub.broker.embedded import EmbeddedBroker
from eventhub.broker.folder import Address, running_broker

__all__ = ["Address", "EmbeddedBroker", "running_broker"]
