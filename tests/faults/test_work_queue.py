"""Work that waits outlives any outage of the broker."""

import asyncio
import os
import signal

from eventhub.broker import EmbeddedBroker
from eventhub.jetstream import JetStreamLog
from tests.builders import channel, make_event


async def test_a_work_queue_survives_kills_of_its_broker(
    broker: EmbeddedBroker, log: JetStreamLog
) -> None:
    stream = await log.open(channel())
    await stream.enlist("mail")
    async with stream.work("mail") as deliveries, asyncio.timeout(20):
        for number in range(3):
            await stream.append(make_event(id=f"r{number}"), expect=0)
            delivery = await anext(deliveries)
            assert delivery.stored.event.id == f"r{number}"
            await delivery.ack()
            await asyncio.sleep(0.3)  # the server keeps acknowledgements lazily
            os.kill(broker.pid, signal.SIGKILL)
