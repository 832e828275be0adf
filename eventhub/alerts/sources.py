"""Sources: the files that an alert may read. Blocking: call in a thread.

A path without a template is relative to the folder of the YAML file, as in Gramex. A path with
values of a message is relative to `attachments_from:`, and stays below it even through links. No
alert can read the hub's own files: its data, its configuration, its secrets.
"""

from dataclasses import dataclass, field
from pathlib import Path

from eventhub.alerts.template import Template
from eventhub.config.hub_files import HubFiles
from eventhub.errors import Rejected

MAX_BYTES = 25 << 20
"""Of all images and attachments of one mail: the large mail providers accept that much."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The folders that the files of one alert are in."""

    folder: Path
    """Of the YAML file."""
    templates_from: Path | None = None
    """`attachments_from:`; None: no template may name a file."""
    hub: HubFiles = field(default_factory=HubFiles)

    def locate(self, template: Template, source: str) -> Path:
        """Return the path of the file that a template named.

        The text before the template's first tag fixes a folder, which the path cannot leave.

        Args:
            template: with or without tags.
            source: what it rendered to.

        Raises:
            Rejected: no alert, or no message, may name this file.
        """
        if "\0" in source:
            raise Rejected("not_found", f"{source!r} is not a path")
        if template.is_constant:
            path = (self.folder / source).resolve()
        else:
            path = self._named_by_message(template, source)
        if self.hub.holds(path):
            raise Rejected(
                "refused", f"{source!r} is a file of the hub itself, which no mail may contain"
            )
        return path

    def _named_by_message(self, template: Template, source: str) -> Path:
        if self.templates_from is None:
            raise Rejected("refused", f"{source!r}: {NO_FOLDER}")
        top = self.templates_from
        path = (top / source).resolve()
        fixed = (top / "".join(template.literal.strip().rpartition("/")[:2])).resolve()
        if not (path.is_relative_to(fixed) and path.is_relative_to(top.resolve())):
            raise Rejected("refused", f"{source!r} is outside of the folder {fixed}")
        if any(part.startswith(".") for part in path.relative_to(top.resolve()).parts):
            raise Rejected("refused", f"{source!r} is hidden: a name in its path begins with a dot")
        return path


NO_FOLDER = "a template names a file: set attachments_from: to the folder of these files"


def read(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        Rejected: it cannot be read, is not a file, or is too large.
    """
    try:
        if not path.is_file():  # opening a pipe would wait for its writer
            raise Rejected("not_found", f"cannot read {path}: there is no such file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise Rejected("not_found", f"cannot read {path}: {error}") from error
    if len(data) > MAX_BYTES:
        raise Rejected("too_large", f"{path} is larger than {MAX_BYTES >> 20} MiB")
    return data
