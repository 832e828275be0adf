"""Hurried: a hub whose tables rest soon after their last client, and which soon seals again."""

from eventhub import cli, parts, retention

if __name__ == "__main__":
    vars(parts)["REST_SECONDS"] = 0.5
    retention.CHECK_SECONDS = (0.5, 2.0)  # type: ignore[misc]
    cli.main()
