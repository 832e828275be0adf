"""Command line: reads arguments, calls the code that does the work, prints the result for people.

- `start`: a chat to try, and a file to begin with
- `serve`: run a hub, check its file, show its configuration
- `backup`: everything that a hub has stored as one file, and back, and to another place
- `data`: prove and rebuild the tables of a hub
- `audit`: what happened to a row, what differs between two states, back to an older version
- `export`: the rows or events of a table as files; all tables as a DuckDB file
- `sql`: queries of the tables
- `load`: import rows, or exported events, of files and databases
- `alerts`: dead letters, and trying alerts out
- `rehearse`: the last events of the log through another configuration
- `permissions`: users of NATS servers, with what each role may do
- `password`: the hash of a password
- `sessions`: who is logged in, and ending that
- `token`: API keys for programs, and revoking tokens of other issuers
- `write`: send a message to a running hub
- `tail`: follow an endpoint of a running hub

No rules live here. A new command is a function in one of these modules, or in a new one, and one
entry in a section of `main`, with examples in `examples`. A command imports what it needs when it
runs: loading DuckDB and the rest of a hub takes a second, which `eventhub post` should not cost.
"""

from eventhub.cli import (
    alerts,
    audit,
    backup,
    data,
    export,
    load,
    password,
    permissions,
    rehearse,
    serve,
    sessions,
    sql,
    start,
    tail,
    token,
    write,
)
from eventhub.cli.examples import add_examples
from eventhub.cli.group import Group

main = Group(
    {
        "Start": [start.demo, start.init, serve.check, serve.serve, password.hash_of],
        "Write and read": [write.post, write.put, write.delete, tail.tail, sql.query],
        "Look back": [audit.show_history, audit.show_diff, audit.revert_row, data.verify_tables],
        "Take data in and out": [load.import_rows, export.export_table, export.snapshot],
        "Operate": [
            serve.show_config,
            rehearse.rehearse,
            alerts.alerts,
            sessions.sessions,
            token.token,
            backup.backup_hub,
            backup.restore_hub,
            backup.move_hub,
            data.rebuild_tables,
            permissions.nats_permissions,
        ],
    },
    help="EventHub: live messages between users, durable, filtered, auditable.",
)
"""The `eventhub` command, with all of its subcommands."""
add_examples(main)
