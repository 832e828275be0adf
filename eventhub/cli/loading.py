"""Loading: the arguments that name a configuration, and the configuration that they name."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from eventhub import logs
from eventhub.config import Config, Findings, examine, load
from eventhub.errors import Misconfigured
from eventhub.masking import Masks

FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
DATA = click.option(
    "--data", type=click.Path(path_type=Path), help="Folder of log and tables [FILE's data/]."
)


def load_config(file: Path, *, data: Path | None = None, **flags: Any) -> Config:
    """Load a file, and start logging as it says; end the process with status 2 if it is wrong.

    Args:
        file: the configuration.
        data: the data folder, instead of the configured one.
        flags: keys of `server:` that override the file, such as `port`; None overrides nothing.
    """
    try:
        config = load(file, data=data, overrides=_overrides(flags))
    except Misconfigured as error:
        # Each line begins with FILE:LINE, as compilers print it, so that editors can jump there.
        click.echo(error.message, err=True)
        sys.exit(2)
    _hide_secrets(config)
    return config


def read_checked(file: Path, *, data: Path | None = None, **flags: Any) -> Config:
    """Load a file again, and compile all of it, while a hub serves what it said before.

    Raises:
        InvalidConfiguration: with everything that is wrong.
    """
    from eventhub.problems import add_problems

    config, findings = examine(file, data=data, overrides=_overrides(flags))
    add_problems(config, findings)
    findings.raise_if_any()
    return config


def _overrides(flags: dict[str, Any]) -> dict[str, Any]:
    return {f"server.{key}": value for key, value in flags.items() if value is not None}


def examine_config(file: Path) -> tuple[Config, Findings]:
    """Load a file as far as it can be read, and start logging as it says."""
    config, findings = examine(file)
    _hide_secrets(config)
    return config, findings


def _hide_secrets(config: Config) -> None:
    log = config.log
    logs.configure(log.level, log.format, config.masks.mask, with_access=log.access)
    click.get_current_context().find_root().obj = config.masks
    sys.excepthook = _print_masked(config.masks)


def _print_masked(masks: Masks) -> Callable[..., None]:
    """Return a hook that masks secrets: a traceback may quote a URL with its password."""

    def print_exception(*raised: Any) -> None:
        click.echo(masks.mask("".join(traceback.format_exception(*raised))), err=True, nl=False)

    return print_exception
