"""Start: the first steps with an installed package: a chat to try, and a file to begin with."""

import shutil
import sys
import threading
import webbrowser
from functools import partial
from pathlib import Path

import click

from eventhub.cli.hosting import ROLES, run_hub
from eventhub.cli.loading import load_config, read_checked
from eventhub.errors import Misconfigured

EXAMPLES = Path(__file__).parents[1] / "examples"
"""Comes with the package; in a checkout, a link to those of the documentation."""
_LEFT_OUT = {"data", "__pycache__"}
"""Folders that an example has once it was served where it is."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default="eventhub-demo")
@click.option("--host", help="Address to listen on [127.0.0.1].")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one [8080].")
@click.option("--open", "opens", is_flag=True, help="Open the chat in a browser.")
def demo(folder: Path, host: str | None, port: int | None, opens: bool) -> None:
    """Serve a chat to try; its files are in FOLDER.

    FOLDER is `eventhub-demo` if it is not named, and made if it is not there.
    """
    file = folder / "eventhub.yaml"
    if not file.exists():
        if folder.exists() and any(folder.iterdir()):
            raise Misconfigured(
                f"{folder} is not empty, and has no demo in it: name another folder"
            )
        _copy("chat", folder)

    def announce(url: str) -> None:
        click.echo(f"EventHub ready on {url}")
        click.echo(f"The chat's files and messages are in {folder}/.")
        click.echo(f"Open it in two windows, and {url}/-/ to see what the hub does.")
        sys.stdout.flush()
        if opens:  # in a thread: some browsers return only when they are closed
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    config = load_config(file, host=host, port=port)
    run_hub(config, ROLES, announce, partial(read_checked, file, host=host, port=port))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
def init(folder: Path) -> None:
    """Write an eventhub.yaml and a page into FOLDER.

    They are a hub of your own to begin with. FOLDER is this one if it is not named.
    """
    written = _copy("start", folder)
    click.echo(f"wrote {' and '.join(map(str, written))}")
    click.echo(f"next: eventhub serve {folder / 'eventhub.yaml'}")


def _copy(example: str, folder: Path) -> list[Path]:
    """Copy the files of an example, none of which may exist; return where they are.

    Raises:
        Misconfigured: one of them exists, or the folder cannot be written; nothing is replaced.
    """
    source = EXAMPLES / example
    names = [
        path.relative_to(source)
        for path in sorted(source.rglob("*"))
        if path.is_file() and not _LEFT_OUT.intersection(path.relative_to(source).parts)
    ]
    if taken := [str(folder / name) for name in names if (folder / name).exists()]:
        raise Misconfigured(f"{taken[0]} exists already: name another folder, or move it away")
    try:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, folder / name)
    except OSError as error:
        raise Misconfigured(f"cannot write to {folder}: {error.strerror}") from error
    return [folder / name for name in names]
