"""Group: the `eventhub` command itself, which prints the errors of EventHub as one line."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import click

from eventhub import __version__
from eventhub.data_folder import UMASK
from eventhub.errors import EventHubError, Misconfigured, Rejected, Unavailable
from eventhub.garbage import collect_rarely
from eventhub.masking import Masks, without_credentials
from eventhub.terminal import printable


class Group(click.Group):
    """The command that holds all others."""

    def __init__(self, sections: Mapping[str, Sequence[click.Command]], **attributes: Any) -> None:
        """Add `--version` and `-h`.

        Args:
            sections: headings of the help, each with the commands below it.
            attributes: those of a `click.Group`.
        """
        settings = {"help_option_names": ["-h", "--help"]}  # of all commands below it, too
        super().__init__("eventhub", context_settings=settings, **attributes)
        click.version_option(__version__)(self)
        self._sections = sections
        for command in (each for section in sections.values() for each in section):
            self.add_command(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands of each section, in the order of their use."""
        width = max(map(len, self.commands), default=0)
        for heading, commands in self._sections.items():
            room = formatter.width - 6 - width
            with formatter.section(heading):
                formatter.write_dl(
                    [
                        (f"{each.name or '':{width}}", each.get_short_help_str(room))
                        for each in commands
                    ]
                )

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand. `Misconfigured` ends it with status 2, other errors with status 1."""
        os.umask(UMASK)
        collect_rarely()  # commands load most modules when they run
        try:
            return super().invoke(ctx)
        except EventHubError as error:
            masks: Masks | None = ctx.obj
            text = f"eventhub: {error}{_code_of(error)}"
            lines = (without_credentials(text) if masks is None else masks.mask(text)).split("\n")
            click.echo("\n".join(map(printable, lines)), err=True)
            ctx.exit(2 if isinstance(error, Misconfigured) else 1)


def _code_of(error: EventHubError) -> str:
    """Return the code of an error in brackets; nothing if it is known from its text or status."""
    has_code = isinstance(error, Rejected | Unavailable) and error.code not in str(error)
    return f" ({error.code})" if has_code else ""
