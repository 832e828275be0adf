"""Whoever guesses waits longer and longer; whoever owns the account never waits long."""

from eventhub.identity.attempts import (
    FORGOTTEN_SECONDS,
    FREE_OF_ACCOUNT,
    FREE_OF_ADDRESS,
    MAX_KEYS,
    MOST_SECONDS,
    Attempts,
)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_each_failure_doubles_the_delay_up_to_a_minute() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    delays = []
    for number in range(14):
        attempts.begin("ann", f"192.0.2.{number}")
        delays.append(attempts.wait("ann", "198.51.100.1"))
        clock.now += delays[-1]
    free = [0.0] * (FREE_OF_ACCOUNT - 1)
    assert delays == [*free, 1, 2, 4, 8, 16, 32, *[MOST_SECONDS] * 4]
    assert attempts.wait("bob", "198.51.100.1") == 0


def test_a_login_forgets_the_failures_of_its_account_and_not_of_its_address() -> None:
    attempts = Attempts(Clock())
    for number in range(FREE_OF_ADDRESS):
        attempts.begin(f"user {number % 7}", "192.0.2.1")
    attempts.begin("user 1", "192.0.2.1")
    attempts.succeeded("user 1", "192.0.2.1")
    assert attempts.wait("user 1", "198.51.100.1") == 0
    assert attempts.wait("user 1", "192.0.2.1") == 1


def test_an_attempt_counts_as_failed_while_its_password_is_checked() -> None:
    attempts = Attempts(Clock())
    for _ in range(FREE_OF_ACCOUNT):
        assert attempts.wait("ann", "192.0.2.1") == 0
        attempts.begin("ann", "192.0.2.1")
    assert attempts.wait("ann", "198.51.100.1") == 1


def test_logins_and_attempts_that_were_not_looked_at_leave_nothing() -> None:
    attempts = Attempts(Clock())
    for number in range(2 * FREE_OF_ADDRESS):
        attempts.begin(f"user {number}", "192.0.2.1")
        if number % 2:
            attempts.succeeded(f"user {number}", "192.0.2.1")
        else:
            attempts.withdraw(f"user {number}", "192.0.2.1")
    assert attempts._failures == {}


def test_failures_are_forgotten_after_a_while() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    for _ in range(20):
        attempts.begin("ann", "192.0.2.1")
    clock.now += FORGOTTEN_SECONDS + 1
    attempts.begin("ann", "192.0.2.1")
    assert attempts.wait("ann", "192.0.2.1") == 0


def test_the_memory_of_failures_is_bounded() -> None:
    attempts = Attempts(Clock())
    for number in range(MAX_KEYS):
        attempts.begin(f"user {number}", f"{number}")
    assert len(attempts._failures) == MAX_KEYS
