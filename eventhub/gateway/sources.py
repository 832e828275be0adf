"""Sources: where answers to reads, and messages that are not stored, come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from eventhub.alert_control import AlertControl
from eventhub.processes import Processes
from eventhub.queries import Queries
from eventhub.rehearsals import Rehearsals
from eventhub.signals import Signals
from eventhub.snapshots import Snapshots, TableFiles


@dataclass(frozen=True, slots=True)
class Sources:
    """What a gateway asks, and tells others."""

    snapshots: Snapshots
    """Of current rows."""
    files: TableFiles
    """Makes files of tables."""
    signals: Signals
    """What processes say to each other."""
    processes: Processes
    """How this process and the others are."""
    queries: Mapping[str, Queries] = field(default_factory=dict)
    """Answer SQL, by name of the SQLHandler."""
    alerts: AlertControl | None = None
    """Answers about alerts, if this process sends them."""
    rehearsals: Rehearsals | None = None
    """Rehearse other configurations."""
