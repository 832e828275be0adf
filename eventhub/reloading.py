"""Reloading: on SIGHUP, reads the configuration again, and takes over all of it or nothing."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from eventhub.changes import needs_restart
from eventhub.config import Config, InvalidConfiguration
from eventhub.errors import EventHubError, Misconfigured
from eventhub.parts import Parts
from eventhub.reimporting import Modules
from eventhub.service import Services, unless_stopped
from eventhub.supervisor import Supervisor

logger = structlog.get_logger(__name__)


class Reloading:
    """Takes over what was changed in the file of a hub; `run` is a service."""

    def __init__(
        self,
        parts: Parts,
        services: Services,
        read: Callable[[], Config],
        asked: asyncio.Event,
        supervisor: Supervisor,
    ) -> None:
        """Prepare.

        Args:
            parts: what serves the configuration.
            services: what runs.
            read: reads the file again, and checks it; called in a thread.
            asked: set by a signal.
            supervisor: is told when the hub is ready, and when it reloads.
        """
        self._parts = parts
        self._services = services
        self._read = read
        self._asked = asked
        self._supervisor = supervisor
        self._modules = Modules(parts.config.path.parent)

    async def run(self, stop: asyncio.Event) -> None:
        """Reload each time that it is asked for, once the hub is ready, until `stop` is set."""
        if not await unless_stopped(_wait(self._parts.is_ready), stop):
            return
        self._supervisor.ready("serving")
        while await unless_stopped(_wait(self._asked), stop):
            self._asked.clear()
            self._supervisor.reloading()
            self._supervisor.ready(await self._reload())

    async def _reload(self) -> str:
        """Serve what the file says now; if anything is wrong with it, go on as before.

        Returns:
            How it went, in words.
        """
        logger.info("reloading", file=str(self._parts.config.path))
        problems: list[str] = []
        facts: dict[str, Any] = {}
        try:
            with self._modules.again():
                facts = await self._adopt()
        except InvalidConfiguration as error:
            problems = [str(problem) for problem in error.problems]
        except EventHubError as error:
            problems = error.message.split("\n")
        except Exception as error:  # a hub that serves goes on to serve
            logger.exception("reload_failed")
            problems = [f"{type(error).__name__}: {error}"]
        for problem in problems:
            logger.error("reload_refused", problem=problem)
        if problems:
            return "serving what the file said before: the last reload was refused, see the log"
        for warning in self._parts.config.warnings:
            logger.warning("configuration", note=warning)
        logger.info("reloaded", **facts)
        return "serving"

    async def _adopt(self) -> dict[str, Any]:
        masks = self._parts.config.masks  # those of the log
        config = await asyncio.to_thread(self._read)
        masks.add(config.masks)
        only = needs_restart(self._parts.config, config, self._parts.channels)
        if only:
            raise Misconfigured("\n".join(f"needs a restart: {what}" for what in only))
        config = msgspec.structs.replace(config, masks=masks)
        return await self._parts.adopt(config, self._modules.generation, self._services)


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
