"""The place of a message is read from its reply subject, in both forms that servers use."""

from hypothesis import given
from hypothesis import strategies as st

from eventhub.jetstream.pull import Place

NUMBERS = st.integers(1, 2**63)


@given(NUMBERS, NUMBERS, NUMBERS, st.sampled_from(["", "_.AAAA.", "hub.BBBB."]))
def test_a_place_is_read_with_and_without_domain_and_account(
    attempt: int, sequence: int, delivery: int, owner: str
) -> None:
    tail = ".random" if owner else ""
    reply = f"$JS.ACK.{owner}EH_chat.mail.{attempt}.{sequence}.{delivery}.1700000000.5{tail}"
    assert Place.read(reply.encode()) == Place(attempt, sequence, delivery)
