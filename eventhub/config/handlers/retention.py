"""`log:` of a MessageHandler: how long its history stays in the stream."""

from eventhub.config.reading import PERIOD, Struct, read_struct, seconds_of
from eventhub.config.tree import Findings, Node, joined


class Retention(Struct, frozen=True):
    """How long events stay in the stream before they are sealed."""

    keep: str
    """A number and `s`, `m`, `h` or `d`."""

    @property
    def keep_seconds(self) -> int:
        """`keep` as seconds."""
        return seconds_of(self.keep)


def read(node: Node, path: str, findings: Findings) -> Retention | None:
    """Return the retention; None for the `log:` of Gramex, which has no effect."""
    if not isinstance(node.value, dict):
        findings.warn(node, path, "it has no effect; EventHub has log: {keep: 30d}")
        return None
    retention: Retention | None = read_struct(Retention, node, path, findings)
    if retention is not None and not PERIOD.fullmatch(retention.keep):
        where = joined(path, "keep")
        findings.problem(node.items["keep"], where, "write a number and s, m, h or d, such as 30d")
        return None
    return retention
