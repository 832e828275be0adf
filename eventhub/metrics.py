"""Metrics: what `/metrics` exposes to Prometheus. As usual there, names include the unit."""

from prometheus_client import (
    PLATFORM_COLLECTOR,
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

REGISTRY.unregister(PLATFORM_COLLECTOR)  # it exposes versions, which help an attacker

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histograms."""

APPENDED = Counter(
    "eventhub_events_appended_total", "Events acknowledged by the log.", ["channel", "method"]
)
APPEND_SECONDS = Histogram(
    "eventhub_append_seconds",
    "Seconds from sending events to the broker until it says that they are stored.",
    buckets=SECONDS,
)
REFUSED = Counter("eventhub_messages_refused_total", "Messages answered by an error.", ["code"])
SENT = Counter(
    "eventhub_messages_sent_total", "Messages handed on without being stored.", ["channel"]
)
SENT_LOST = Counter(
    "eventhub_messages_sent_lost_total",
    "Messages without storage that were dropped here, because their senders sent too many.",
    ["channel"],
)
DELIVERED = Counter("eventhub_frames_delivered_total", "Frames handed to clients.", ["channel"])
EVENT_AGE = Histogram(
    "eventhub_event_age_seconds",
    "Seconds from accepting an event until it is written to subscribers; the oldest of a batch.",
    ["channel"],
    buckets=SECONDS,
)
CONNECTIONS = Gauge("eventhub_connections", "Open subscriptions.", ["channel", "form"])
LAGGARDS = Gauge("eventhub_laggards", "Connections that catch up from the log.", ["channel"])
FOLLOWER_RESETS = Counter(
    "eventhub_follower_resets_total", "Times a follower started again at its position.", ["channel"]
)
FOLLOWER_PAUSES = Histogram(
    "eventhub_follower_pause_seconds",
    "Seconds without new events of a table, after a server or a connection was lost.",
    buckets=SECONDS,
)
DAMAGED = Counter(
    "eventhub_events_damaged_total",
    "Events that cannot be read: damaged, or missing in the log.",
    ["channel"],
)
FOLLOWED = Gauge(
    "eventhub_followed", "1 while a gateway follows the table, 0 while it rests.", ["channel"]
)
PROJECTED = Gauge(
    "eventhub_projected_sequence", "Last sequence that the current table holds.", ["channel"]
)
PROJECTED_EVENTS = Counter(
    "eventhub_events_projected_total",
    "Events that this process has read from the log into its tables.",
    ["channel"],
)
STORED_SNAPSHOTS = Counter(
    "eventhub_stored_snapshots_total",
    "Snapshots of all tables for other processes: `stored`, `failed`, `loaded` or `refused`;"
    " `unavailable` if a start could not read what is stored.",
    ["outcome"],
)
COLUMNS_OUTDATED = Gauge(
    "eventhub_columns_outdated",
    "1 while another process has newer columns of a table.",
    ["channel"],
)
MIRROR_LAG = Gauge(
    "eventhub_mirror_lag_events",
    "Events that the mirror of a table in another database does not have yet.",
    ["channel"],
)
ARCHIVED = Gauge("eventhub_archived_sequence", "Last sequence that the archive holds.", ["channel"])
SEALED = Gauge(
    "eventhub_sealed_sequence",
    "Last event that is in a segment, and may have left the stream.",
    ["channel"],
)
SEALED_BYTES = Gauge("eventhub_sealed_bytes", "Bytes of the segments.", ["channel"])
SNAPSHOTS = Counter(
    "eventhub_snapshots_opened_total", "Times current rows were read from DuckDB.", ["channel"]
)
INTERRUPTED = Counter(
    "eventhub_queries_interrupted_total",
    "Queries that were interrupted because their clients had left.",
)
SLOW_READERS = Counter(
    "eventhub_slow_readers_cut_total",
    "Slow readers that were cut off because others waited for the space of their rows.",
)
QUERIES = Counter(
    "eventhub_queries_total",
    "SQL queries by outcome: `answered`, or the error's code.",
    ["handler", "outcome"],
)
QUERY_PROCESSES = Counter(
    "eventhub_query_processes_started_total",
    "Processes that were started for SQL queries; more than one if queries were killed.",
    ["handler"],
)
ALERTS = Counter("eventhub_alerts_total", "Alerts by outcome.", ["endpoint", "outcome"])
LIMITED = Counter(
    "eventhub_limited_total",
    "Times that a client met a limit: of `server.limits`, its connections, a quota, or"
    " `server.stalled_after`.",
    ["limit"],
)
AUDIT_LOST = Counter(
    "eventhub_audit_lost_total", "Entries of the audit trail that could not be stored."
)
TURNED_AWAY = Counter(
    "eventhub_connections_turned_away_total",
    "Connections that were closed before they made a request.",
    ["reason"],
)
DOOR_SHUT = Gauge(
    "eventhub_door_shut", "1 while too few descriptors are left to accept connections."
)
DISK_FREE = Gauge("eventhub_disk_free_bytes", "Bytes that the disk of the data folder has free.")
PROBLEMS = Gauge("eventhub_problems", "Reasons why the process takes no traffic: `/readyz`.")
NOTES = Gauge("eventhub_notes", "Other things that `/readyz` says to operators.")
BROKER_CONNECTED = Gauge("eventhub_broker_connected", "1 while the broker answers.")


def exposition() -> bytes:
    """Return all metrics in the Prometheus text format."""
    return generate_latest(REGISTRY)
