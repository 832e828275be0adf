"""What is not stored is not read again, and who is connected follows from what the hub tells."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eventhub.delivery.attendance import Present as Told
from eventhub.delivery.attendance import change_frame, state_frame
from eventhub.errors import Close
from eventhub_client.backoff import Backoff
from eventhub_client.ephemeral import Listening, Present
from eventhub_client.subscription import Passed, Unstored

STATES = st.builds(
    Told,
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 3)),
    st.integers(0, 3),
)


@given(st.lists(STATES, min_size=1))
def test_who_is_connected_is_what_the_hub_tells_as_a_state_and_its_changes(
    states: list[Told],
) -> None:
    before = states[0]
    present = Present({"of": 1, "before": 2}, 9).after(state_frame(before)["_presence"])
    for state in states:
        if frame := change_frame(before, state):
            present = present.after(frame["_presence"])
        before = state
        assert present == Present(state.users, state.anonymous)
        assert present.connections == sum(state.users.values()) + state.anonymous


def test_each_connection_begins_at_the_present() -> None:
    reader = Listening(Backoff(lambda: 0.5))
    ready: dict[str, Any] = {"_ready": {"position": "e.5", "recovered": True}}
    sent = {"_method": "SEND", "typing": True}
    assert list(reader.opened()) == []
    assert reader.receive(ready) == Passed("e.5", is_live=True)
    assert reader.receive(sent) == Unstored(sent)
    reader.receive({"_method": "POST", "_seq": 6, "id": "m"})
    assert reader.since == "now"
    assert reader.closed(int(Close.CHANGED)) > 0
    assert reader.since == "now"
    assert list(reader.opened()) == []
