"""A checkpoint is the old one or the new one, and is never taken for that of another table."""

from pathlib import Path

import pytest

from eventhub_client.checkpoint import Checkpoint


def test_a_position_is_there_at_the_next_start(tmp_path: Path) -> None:
    file = tmp_path / "bot.checkpoint"
    first = Checkpoint(file, "/messages?topic=Help")
    assert first.position == ""
    first.save("e.7")
    first.save("e.9")
    assert Checkpoint(file, "messages").position == "e.9"
    assert [path.name for path in tmp_path.iterdir()] == ["bot.checkpoint"]


def test_what_a_crash_left_behind_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "bot.checkpoint"
    Checkpoint(file, "messages").save("e.7")
    (tmp_path / "bot.checkpoint.new").write_text('{"path": "mess')
    again = Checkpoint(file, "messages")
    assert again.position == "e.7"
    again.save("e.8")
    assert Checkpoint(file, "messages").position == "e.8"


def test_a_checkpoint_of_another_table_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "bot.checkpoint"
    Checkpoint(file, "messages").save("e.7")
    with pytest.raises(ValueError, match="checkpoint of 'messages', not of 'tasks'"):
        Checkpoint(file, "tasks")


@pytest.mark.parametrize("text", ["", "e.7", "[]", "{}", '{"path": "messages"}'])
def test_a_damaged_checkpoint_is_an_error_and_not_a_start_at_the_end(
    tmp_path: Path, text: str
) -> None:
    file = tmp_path / "bot.checkpoint"
    file.write_text(text)
    with pytest.raises(ValueError, match="is not a checkpoint: delete it to start again"):
        Checkpoint(file, "messages")
