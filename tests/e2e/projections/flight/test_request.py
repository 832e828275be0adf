"""A call is admitted and answered as a request over HTTP."""

import re
import time
import urllib.parse
import urllib.request

import pytest
from adbc_driver_flightsql import ConnectionOptions, DatabaseOptions
from adbc_driver_manager import Error

from tests.e2e.command import post
from tests.e2e.flight import DEADLINE_SECONDS, connect, refused, rows, token
from tests.e2e.hub import Hub


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, "unauthorized: log in"),
        ({DatabaseOptions.AUTHORIZATION_HEADER.value: "Bearer x.y.z"}, "unauthorized: the bearer"),
        (token("analyst", exp=1), "unauthorized: the bearer token is not valid"),
        ({DatabaseOptions.AUTHORIZATION_HEADER.value: "Basic YTpi"}, "unauthorized: log in"),
        (token("guest"), "forbidden"),
        ({ConnectionOptions.RPC_CALL_HEADER_PREFIX.value + "x-user": "ann"}, "unauthorized"),
        ({ConnectionOptions.RPC_CALL_HEADER_PREFIX.value + "cookie": "eventhub=x"}, "unauthorized"),
    ],
)
def test_whom_the_handler_does_not_admit_is_refused(
    hub: Hub, options: dict[str, str], code: str
) -> None:
    with connect(hub, "team", **options) as connection:
        text = refused(connection, "FROM secret")
        assert code in text
        assert "hidden" not in text
        with pytest.raises(Error, match=r"(?i)unauth|forbidden|permission"):
            connection.adbc_get_objects(depth="all").read_all()
    with connect(hub, "team", **token("analyst")) as connection:
        assert rows(connection, "SELECT x FROM secret") == [("hidden",)]
    refusals = re.findall(r'"by": "([^"]*)", "reason": "(?:unauthorized|forbidden)"', hub.stderr())
    assert set(refusals) == {"127.0.0.1"}


def test_a_query_sees_the_write_whose_position_it_names(hub: Hub) -> None:
    with urllib.request.urlopen(f"{hub.url}/ask?sql=SELECT+1+AS+one") as answer:
        epoch = answer.headers["EventHub-Position"].split(".")[0]
    for number in range(5):
        seq = post(
            f"{hub.url}/notes", id="counted", _method="POST" if not number else "PUT", n=number
        )
        position = {"eventhub-position": f"{epoch}.{seq['_seq']}"}
        with connect(hub, headers=position) as connection:
            assert rows(connection, "SELECT n FROM notes WHERE id = 'counted'") == [(number,)]
    post(f"{hub.url}/notes", id="counted", _method="DELETE")
    with connect(hub, headers={"eventhub-position": "soon"}) as connection:
        assert "bad_position: " in refused(connection, "SELECT 1")
    with connect(hub) as connection:
        give_up = time.monotonic() + DEADLINE_SECONDS
        while len(rows(connection, "FROM notes")) > 2:
            assert time.monotonic() < give_up
