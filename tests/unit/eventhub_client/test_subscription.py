"""The protocol of a reader: what each frame and each close code mean for what comes next."""

from typing import Any

import pytest

from eventhub.errors import Close
from eventhub_client.backoff import Backoff
from eventhub_client.errors import ForbiddenError, NotFoundError, RefusedError, UnauthorizedError
from eventhub_client.subscription import RESET, Change, Expiring, Passed, Subscription

READY: dict[str, Any] = {"_ready": {"position": "e.5", "recovered": True}}


def following(since: str = "now", epoch: str = "") -> Subscription:
    return Subscription(since, epoch, Backoff(lambda: 0.5))


def post(seq: int) -> dict[str, Any]:
    return {"_method": "POST", "_seq": seq, "id": "m", "n": seq}


def test_each_change_has_its_position_from_which_the_next_connection_resumes() -> None:
    reader = following()
    assert list(reader.opened()) == []
    assert reader.receive({"_resume": {"recovered": True, "reason": "now"}}) is None
    assert reader.receive(READY) == Passed("e.5", is_live=True)
    assert reader.receive(post(6)) == Change("POST", "m", {"id": "m", "n": 6}, 6, "e.6")
    assert reader.since == "e.6"
    assert reader.receive({"_tick": "e.9"}) == Passed("e.9")
    assert reader.since == "e.9"


def test_without_a_position_all_rows_come_and_replace_what_there_was() -> None:
    reader = following("")
    assert list(reader.opened()) == [RESET]
    change = reader.receive(post(2))
    assert isinstance(change, Change)
    assert change.position is None
    assert reader.since == "", "rows before `_ready` are not in the order of their events"
    assert reader.closed(1006) > 0
    assert list(reader.opened()) == [RESET]


def test_a_position_that_is_lost_is_a_reset_and_not_kept() -> None:
    reader = following("old.7")
    reader.receive({"_resume": {"recovered": True, "reason": "position"}})
    assert reader.receive({"_resume": {"recovered": False, "reason": "epoch"}}) == RESET
    change = reader.receive(post(3))
    assert isinstance(change, Change)
    assert (change.position, reader.since) == (None, "")


def test_reading_the_past_can_be_interrupted_if_the_epoch_is_known() -> None:
    reader = following("earliest", "e")
    assert list(reader.opened()) == []
    reader.receive(post(1))
    reader.closed(None)
    assert reader.since == "e.1"


def test_another_view_after_a_login_is_read_from_the_beginning() -> None:
    reader = following("e.4")
    reader.closed(Close.CHANGED)
    assert list(reader.opened()) == [RESET]


@pytest.mark.parametrize("code", [None, 1000, 1006, *Close])
def test_a_close_code_ends_or_resumes_as_the_hub_says(code: int | None) -> None:
    reader = following("e.4")
    if code in Close.__members__.values() and not Close(code or 0).reconnect:
        kinds = {
            4400: RefusedError,
            4401: UnauthorizedError,
            4403: ForbiddenError,
            4404: NotFoundError,
        }
        with pytest.raises(kinds[code or 0]) as raised:
            reader.closed(code)
        assert type(raised.value) is kinds[code or 0]
    else:
        assert reader.closed(code) > 0


def test_the_error_before_the_close_says_why() -> None:
    reader = following()
    error = {"code": "bad_filter", "message": "n: not a number", "retry": False, "column": "n"}
    assert reader.receive({"_error": error}) is None
    with pytest.raises(RefusedError, match="bad_filter: n: not a number") as raised:
        reader.closed(Close.BAD_REQUEST)
    assert raised.value.column == "n"


def test_the_pause_grows_until_a_replay_is_over_and_is_as_long_as_the_hub_asks() -> None:
    reader = following("e.4")
    first = reader.closed(1006)
    list(reader.opened())
    assert reader.closed(1006) == 2 * first, "a hub that accepts and drops is not hammered"
    reader.receive(READY)
    assert reader.closed(1006) == first
    limit = {"code": "rate_limited", "message": "", "retry": True, "retry_after": 30}
    reader.receive({"_error": limit})
    assert reader.closed(Close.TRY_LATER) == 30


def test_a_login_that_ends_is_renewed_and_one_that_is_missing_is_an_error() -> None:
    reader = following()
    assert reader.receive({"_auth": "expiring", "expires": "2026-11-23T01:00:00Z"}) == Expiring()
    assert reader.receive({"_auth": "renewed", "expires": None}) is None
    with pytest.raises(UnauthorizedError, match="give a token"):
        reader.receive({"_auth": "required"})


def test_what_only_a_newer_hub_sends_is_not_shown() -> None:
    reader = following()
    assert reader.receive({"_presence": {"joined": "ann"}}) is None
    assert reader.receive({"_method": "SEND", "typing": True}) is None
