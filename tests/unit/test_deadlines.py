"""A hub that stops has closed everything before the drain period is over."""

from eventhub import deadlines
from eventhub.config.settings import Server


def test_what_is_closed_one_after_the_other_fits_into_the_default_drain_period() -> None:
    """Otherwise an ordinary stop, with a client that does not answer, would be cut short."""
    live = max(deadlines.CLOSE_FRAME_SECONDS, deadlines.CONNECTION_SECONDS)
    assert live + deadlines.REQUESTS_SECONDS <= Server().drain
