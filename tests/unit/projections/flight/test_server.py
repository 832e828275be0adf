"""What the server holds for an answer is given back however the answer ends."""

import pyarrow as pa

from projections.flight.server import _Sending


def test_an_answer_that_is_dropped_before_its_first_batch_is_ended() -> None:
    ended: list[str] = []
    sending = _Sending([pa.record_batch({"a": [1]})], lambda: None, [lambda: ended.append("x")])
    del sending
    assert ended == ["x"]
