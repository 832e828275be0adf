"""Who was refused for who they are stands in the log, in lines whose length no client decides."""

import pytest
from structlog.testing import capture_logs

from eventhub.errors import Rejected
from eventhub.identity.audit import audited, note_cookie
from eventhub.identity.proxies import MAX_TEXT, NO_PROXIES, Proxies
from tests.unit.identity.incoming import request


@pytest.mark.parametrize("code", ["unauthorized", "forbidden"])
def test_a_refusal_of_the_user_is_logged_and_raised(code: str) -> None:
    sent = request(peer=("10.0.0.7", 1), headers={"Origin": "https://" + "e" * 999})
    with (
        capture_logs() as logs,
        pytest.raises(Rejected, match="why"),
        audited(sent, "chat", NO_PROXIES),
    ):
        raise Rejected(code, "why" + "y" * 999)
    [line] = logs
    assert (line["event"], line["by"], line["reason"]) == ("access_refused", "10.0.0.7", code)
    assert (line["endpoint"], line["detail"][:3]) == ("chat", "why")
    assert {len(line["origin"]), len(line["detail"])} == {MAX_TEXT}


def test_a_refusal_of_the_message_is_not_logged() -> None:
    with capture_logs() as logs:
        with pytest.raises(Rejected), audited(request(), "chat", NO_PROXIES):
            raise Rejected("bad_json", "not JSON")
        with audited(request(), "chat", NO_PROXIES):
            pass
    assert logs == []


def test_a_cookie_that_is_refused_is_logged_with_the_client_behind_a_proxy() -> None:
    sent = request(
        peer=("10.0.0.8", 1), path="/" + "p" * 999, headers={"X-Forwarded-For": "1.2.3.4"}
    )
    with capture_logs() as logs:
        note_cookie(sent, Proxies(["10.0.0.8"]))
    [line] = logs
    assert (line["event"], line["by"], len(line["path"])) == ("cookie_refused", "1.2.3.4", MAX_TEXT)
