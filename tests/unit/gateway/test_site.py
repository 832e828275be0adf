"""Another site takes the place of the one that is served, and asks again whom it may not keep."""

from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from eventhub.channel import Endpoint
from eventhub.config import Auth, Jwt, MessageEndpoint
from eventhub.errors import Misconfigured
from eventhub.gateway.site import Site
from tests.builders import logins
from tests.unit.gateway.serving import Running, running

OPEN: dict[str, Any] = {"open": "args.pop('x', None)"}
SECRET = "of thirty-two characters, at least"


def changed(hub: Running, modules: int = 0, of_hub: Auth | None = None, **endpoint: Any) -> Site:
    """Return the site of a gateway with a changed endpoint or `auth:`."""
    config = hub.gateway._site.config
    (served,) = config.of_kind(MessageEndpoint)
    entry = msgspec.structs.replace(served, **endpoint)
    config = msgspec.structs.replace(config, endpoints=(entry,), auth=of_hub or config.auth)
    return Site(config, [Endpoint(entry, hub.stream.channel)], logins(), modules)


@pytest.mark.parametrize(
    ("before", "after", "closed"),
    [
        ({}, {}, 0),
        ({}, {"prepare": "msg.update(text='b')", "headers": {"X-A": "b"}}, 0),
        ({}, {"message_default": {"POST": {"text": "'b'"}}, "modify": "None"}, 0),
        ({}, {"send": True}, 0),
        ({}, {"presence": True}, 1),
        ({}, {"auth": True}, 1),
        ({}, {"open": "args.pop('x', None)"}, 1),
        ({}, {"origins": ["https://a.example"]}, 1),
        ({}, {"default": {"_limit": ["1"]}}, 1),
        ({}, {"pattern": "/moved"}, 1),
        ({}, {"name": "another"}, 1),
        ({}, {"kwargs": {"prepare": "None"}}, 0),
        ({}, {"kwargs": {"mine": "read by an expression"}}, 1),
        ({}, {"auth_of_hub": Auth(jwt=Jwt(secret=SECRET))}, 1),
        ({}, {"modules": 1}, 0),
        (OPEN, {"modules": 1}, 1),
        ({"prepare": "None"}, {"modules": 1}, 0),
    ],
)
async def test_connections_go_on_unless_what_admits_them_has_changed(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any], closed: int
) -> None:
    async with running(tmp_path, **before) as hub, hub.http.ws_connect(hub.url) as socket:
        change = dict(after)
        of_hub, modules = change.pop("auth_of_hub", None), change.pop("modules", 0)
        assert hub.gateway.adopt(changed(hub, modules, of_hub, **change)) == closed
        if closed:
            message = await socket.receive(timeout=10)
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1012)
        else:
            await socket.send_json({"id": "a"})
            assert (await socket.receive_json(timeout=10))["id"] == "a"


async def test_a_site_that_does_not_compile_leaves_the_other_in_its_place(tmp_path: Path) -> None:
    async with running(tmp_path) as hub:
        with pytest.raises(Misconfigured):
            changed(hub, prepare="1 +")
        async with hub.http.get(hub.url) as answer:
            assert answer.status == 200
