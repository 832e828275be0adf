"""Who is connected is bounded, equal on every process, and right again after any loss."""

from eventhub.delivery.attendance import (
    MAX_NAMES_BYTES,
    MAX_PROCESSES,
    SILENCE_SECONDS,
    Attendance,
    Present,
    change_frame,
    state_frame,
)


def test_a_process_counts_while_it_is_heard() -> None:
    attendance = Attendance()
    attendance.enter("ann", 1)
    attendance.enter(None, 2)
    attendance.hear("other", Present({"ann": 2, "bob": 1}, 3), now=10)
    assert attendance.whole == Present({"ann": 3, "bob": 1}, 4)
    assert attendance.mine == Present({"ann": 1}, 1)
    attendance.forget_silent(10 + SILENCE_SECONDS)
    assert attendance.whole.users["bob"] == 1
    attendance.forget_silent(10.1 + SILENCE_SECONDS)
    assert attendance.whole == attendance.mine


def test_readings_on_one_socket_are_one_connection_of_each_user() -> None:
    attendance = Attendance()
    for user in ("ann", "ann", "bob"):
        attendance.enter(user, "socket")
    attendance.enter("ann", "other")
    assert attendance.mine == Present({"ann": 2, "bob": 1}, 0)
    attendance.leave("ann", "socket")
    assert attendance.mine.users["ann"] == 2
    attendance.leave("ann", "socket")
    assert attendance.mine.users["ann"] == 1


def test_a_process_without_connections_is_forgotten_at_once() -> None:
    attendance = Attendance()
    attendance.hear("other", Present({"ann": 1}), now=0)
    attendance.hear("other", Present(), now=0)
    assert attendance.whole == Present()


def test_no_more_processes_are_listened_to_than_the_most() -> None:
    attendance = Attendance()
    for number in range(MAX_PROCESSES + 5):
        attendance.hear(f"p{number}", Present({}, 1), now=0)
    assert attendance.whole.anonymous == MAX_PROCESSES
    attendance.hear("p0", Present({}, 2), now=0)
    assert attendance.whole.anonymous == MAX_PROCESSES + 1


def test_names_that_are_too_long_together_are_counted_and_not_said() -> None:
    attendance = Attendance()
    attendance.enter("a", 1)
    attendance.enter("b" * MAX_NAMES_BYTES, 2)
    attendance.enter("c", 3)
    assert attendance.mine == attendance.whole == Present({"a": 1}, 2)


def test_a_frame_says_only_what_has_changed() -> None:
    before = Present({"ann": 1, "bob": 2, "eve": 1}, 1)
    after = Present({"ann": 1, "bob": 1, "joe": 1}, 0)
    assert change_frame(before, before) is None
    assert change_frame(before, after) == {
        "_presence": {
            "join": [{"user": "joe", "connections": 1}],
            "change": [{"user": "bob", "connections": 1}],
            "leave": [{"user": "eve", "connections": 0}],
            "anonymous": 0,
        }
    }
    assert state_frame(Present({"ann": 1}, 2)) == {
        "_presence": {"users": [{"user": "ann", "connections": 1}], "anonymous": 2}
    }
