"""The access state is what the newest record of each key says, however the records come."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from eventhub.identity.access import (
    AccessState,
    Cut,
    Denied,
    Key,
    Session,
    Value,
    user_key,
)
from eventhub.stream import Record

MARKS = ("session.a", "session.b", "key.k", "denied.t", "user.ann", "user.bob")


def session(user: str = "ann", *, ended: float | None = None) -> Session:
    return Session(user=user, begun=10.0, ends=1e12, ended=ended)


def api_key(*, revoked: float | None = None) -> Key:
    return Key(user="ann", digest="d", created=1.0, revoked=revoked)


VALUES: dict[str, st.SearchStrategy[Value]] = {
    "session.a": st.sampled_from([session(), session(ended=5.0)]),
    "session.b": st.sampled_from([session("bob"), session("bob", ended=5.0)]),
    "key.k": st.sampled_from([api_key(), api_key(revoked=3.0)]),
    "denied.t": st.just(Denied(ends=1e12)),
    "user.ann": st.builds(Cut, user=st.just("ann"), not_before=st.sampled_from([5.0, 20.0])),
    "user.bob": st.builds(Cut, user=st.just("bob"), not_before=st.just(15.0)),
}


def record(key: str, value: Value | bytes, sequence: int) -> Record:
    return Record(key, value if isinstance(value, bytes) else msgspec.json.encode(value), sequence)


def state_of(*records: Record) -> AccessState:
    state = AccessState()
    state.apply(records)
    return state


def view(state: AccessState) -> list[bool]:
    """Return which marks have ended, for logins before, between and after the cuts."""
    return [state.has_ended(frozenset((mark,)), began) for mark in MARKS for began in (1, 7, 30)]


@given(st.data())
def test_any_order_of_records_and_their_duplicates_ends_in_the_same_state(
    data: st.DataObject,
) -> None:
    keys = data.draw(st.lists(st.sampled_from(MARKS), max_size=12))
    records = [
        record(key, data.draw(VALUES[key]), sequence) for sequence, key in enumerate(keys, start=1)
    ]
    shuffled = data.draw(st.permutations([*records, *records]))
    newest = {each.key: each for each in records}
    expected = view(state_of(*newest.values()))
    one_by_one, whole = AccessState(), AccessState()
    for each in shuffled:
        one_by_one.apply([each])
    whole.replace(shuffled)
    assert view(one_by_one) == view(whole) == expected


def test_a_session_or_key_without_a_record_does_not_hold_and_everything_else_does() -> None:
    assert view(AccessState()) == [True] * 9 + [False] * 9


def test_a_cut_ends_the_sessions_before_it_in_the_log_whatever_the_clocks_say() -> None:
    cut = Cut(user="ann", not_before=20.0)
    early = state_of(record("session.a", session(), 1), record("user.ann", cut, 2))
    late = state_of(record("user.ann", cut, 1), record("session.a", session(), 2))
    mark = frozenset(("session.a",))
    assert (early.has_ended(mark, 0), late.has_ended(mark, 0)) == (True, False)


def test_a_cut_ends_the_tokens_that_were_issued_before_it() -> None:
    state = state_of(record("user.ann", Cut(user="ann", not_before=20.0), 1))
    mark = frozenset((user_key("ann"),))
    assert [state.has_ended(mark, began) for began in (19, 20, 21)] == [True, False, False]


def test_a_record_that_cannot_be_read_ends_what_it_names() -> None:
    for mark in MARKS:
        for damaged in (b"\xff", b'{"type":"user","user":"\xff","not_before":1}', b"[" * 100_000):
            state = state_of(record(mark, damaged, 1))
            assert state.has_ended(frozenset((mark,)), 1e12), mark


def test_a_watch_is_called_once_and_only_for_its_login() -> None:
    state = state_of(record("session.a", session(), 1), record("session.b", session("bob"), 2))
    ended: list[str] = []
    for name in "ab":
        mark = f"session.{name}"
        state.watch(frozenset((mark,)), 0, lambda name=name: ended.append(name))  # type: ignore[misc]
    state.apply([record("session.a", session(ended=9.0), 3)])
    state.apply([record("session.a", session(ended=9.0), 4)])
    assert ended == ["a"]


def test_what_is_gone_from_a_store_that_was_read_again_ends() -> None:
    state = state_of(record("session.a", session(), 1), record("session.b", session("bob"), 2))
    ended: list[str] = []
    for name in "ab":
        mark = f"session.{name}"
        state.watch(frozenset((mark,)), 0, lambda name=name: ended.append(name))  # type: ignore[misc]
    state.replace([record("session.a", session(), 1)])
    assert ended == ["b"]


def test_what_has_ended_by_itself_is_forgotten() -> None:
    state = state_of(
        record("session.a", msgspec.structs.replace(session(), ends=5.0), 1),
        record("denied.t", Denied(ends=5.0), 2),
        record("session.b", session("bob"), 3),
        record("user.ann", Cut(user="ann", not_before=1.0), 4),
    )
    state.forget(6.0)
    assert state._records.keys() == {"session.b", "user.ann"}
