"""Hosting: runs a hub as the process of a command."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import msgspec

from eventhub.cli.progress import progress_bar
from eventhub.cli.running import run
from eventhub.config import Config, notify_socket, watchdog_seconds
from eventhub.supervisor import Supervisor

if TYPE_CHECKING:
    from eventhub.parts import Role

ROLES: "tuple[Role, ...]" = ("gateway", "projector", "alerts", "archiver")
"""Those of `hub.ROLES`, which takes long to import."""


def run_hub(
    config: Config,
    roles: "Sequence[Role]",
    announce: Callable[[str], None],
    read: Callable[[], Config],
) -> None:
    """Run a hub until a signal stops it.

    Args:
        config: what it serves.
        roles: the parts that it runs.
        announce: called with its URL once it is ready.
        read: reads its configuration again.

    Raises:
        EventHubError: it cannot start, or it failed.
    """
    from eventhub.gateway.sockets import Sockets

    with ExitStack() as stack:
        sockets, server = None, config.server
        if "gateway" not in roles and server.admin is not None and server.admin.port is not None:
            server = msgspec.structs.replace(server, port=server.admin.port)
            sockets = stack.enter_context(closing(Sockets.bound(server)))
        elif "gateway" in roles:
            # Before the rest of the hub is even loaded: an address in use is said at once.
            sockets = stack.enter_context(closing(Sockets.bound(server)))
        from eventhub import hub
        from eventhub.problems import check_served

        check_served(config)
        supervisor = Supervisor(notify_socket(), watchdog_seconds())
        caller = hub.Caller(read, announce, progress_bar, supervisor)
        run(hub.serve(config, roles, sockets, caller))
