"""The embedded broker: a nats-server of our own as a child process, for one data folder.

    async with EmbeddedBroker(folder) as broker:
        ...  broker.url, broker.token, broker.pid

`folder` says who has the data folder; `server` is one process of nats-server, `staging` its
batches in memory and `blocks` what it cannot read; `embedded` keeps one running.
"""

from eventhub.broker.embedded import EmbeddedBroker
from eventhub.broker.folder import Address, running_broker

__all__ = ["Address", "EmbeddedBroker", "running_broker"]
