"""A query waits for the writes that its positions name, of the table that each is of."""

import pytest

from eventhub.errors import Rejected
from eventhub.memory import MemoryStream
from projections.sql.positions import needed
from tests.builders import channel, make_event


async def streams(*names: str) -> dict[str, MemoryStream]:
    """Return streams with two events each, and epochs of their own."""
    made = {}
    for number, name in enumerate(names):
        made[name] = stream = MemoryStream(channel(name))
        stream.epoch = f"e{number}"
        for row in ("a", "b"):
            await stream.append(make_event(id=row), expect=0)
    return made


async def test_a_sequence_is_of_the_only_table() -> None:
    assert await needed("2", await streams("chat")) == {"chat": 2}
    assert await needed("", await streams("chat")) == {}


async def test_a_position_names_its_table_by_its_epoch() -> None:
    both = await streams("chat", "a,b=c")
    assert await needed("e1.2", both) == {"a,b=c": 2}
    assert await needed("chat=e0.1, a%2Cb%3Dc=e1.2", both) == {"chat": 1, "a,b=c": 2}
    assert await needed("chat=2, a%2Cb%3Dc=1", both) == {"chat": 2, "a,b=c": 1}
    assert await needed("e0.1,e0.2", both) == {"chat": 2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3", "may be of any of chat, tasks: write TABLE=3"),
        ("chats=1", "no table 'chats', but chat, tasks"),
        ("e0.3", "after the end of the log of chat, which is 2"),
        ("e2.1", "not a position of chat or tasks"),
        ("tasks=e0.1", "not a position"),
        ("soon", "'soon' is not a position"),
        ("e0.-1", "not a position"),
        ("9" * 30, "not a position"),
    ],
)
async def test_any_other_text_is_refused(text: str, words: str) -> None:
    with pytest.raises(Rejected, match=words) as caught:
        await needed(text, await streams("chat", "tasks"))
    assert caught.value.code == "bad_position"
