"""Sources: the files that an alert may read. Blocking: call in a thread.

A path that the configuration spells out starts at the YAML file's folder, as in Gramex. A path
that a message has a part in starts at `attachments_from:` and stays below it, links included. No
alert reads what the hub keeps for itself: its data, its configuration, its secrets.
"""

from dataclasses import dataclass, field
from pathlib import Path

from eventhub.alerts.template import Template
from eventhub.config.hub_files import HubFiles
from eventhub.errors import Rejected

MAX_BYTES = 25 << 20
"""Of all attachments of one mail: what the large mail providers accept."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the files of one alert are."""

    folder: Path
    """Of the YAML file."""
    templates_from: Path | None = None
    """`attachments_from:`; None: no template names a file."""
    hub: HubFiles = field(default_factory=HubFiles)

    def located(self, template: Template, source: str) -> Path:
        """Return the path that a template named. What stands before its first tag fixes a folder.

        Raises:
            Rejected: a message may not name it, or nobody.
        """
        if "\0" in source:
            raise Rejected("not_found", f"{source!r} is no path")
        if template.is_constant:
            path = (self.folder / source).resolve()
        else:
            path = self._named_by_message(template, source)
        if self.hub.holds(path):
            raise Rejected("refused", f"{source!r} is a file that the hub keeps for itself")
        return path

    def _named_by_message(self, template: Template, source: str) -> Path:
        if self.templates_from is None:
            raise Rejected("refused", f"{source!r}: {NO_FOLDER}")
        top = self.templates_from
        path = (top / source).resolve()
        fixed = (top / "".join(template.literal.strip().rpartition("/")[:2])).resolve()
        if not (path.is_relative_to(fixed) and path.is_relative_to(top.resolve())):
            raise Rejected("refused", f"{source!r} leads out of the folder {fixed}")
        if any(part.startswith(".") for part in path.relative_to(top.resolve()).parts):
            raise Rejected("refused", f"{source!r} is hidden: its name begins with a dot")
        return path


NO_FOLDER = "a template names a file: say with attachments_from: in which folder"


def read(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        Rejected: it cannot be read, is no file, or is too large.
    """
    try:
        if not path.is_file():  # to open a pipe would wait for its writer
            raise Rejected("not_found", f"cannot read {path}: there is no such file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise Rejected("not_found", f"cannot read {path}: {error}") from error
    if len(data) > MAX_BYTES:
        raise Rejected("too_large", f"{path} is larger than {MAX_BYTES >> 20} MiB")
    return data
