"""Snapshots: whether tables can be stored as `projection: snapshots:` says, with absolute paths."""

import re
from typing import Final
from urllib.parse import urlsplit

import msgspec

from eventhub.config.settings import S3, Snapshots
from eventhub.config.tree import Findings, Node, joined

PATH: Final = "projection.snapshots"
_PLACES: Final = (None, "broker", "none")
_FOR_S3: Final = ("endpoint", "region", "access_key_id", "secret_access_key", "ca_file")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", re.ASCII | re.IGNORECASE)
_PREFIX: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[\w.=-]+)*/?", re.ASCII)


def checked(section: Node, snapshots: Snapshots, findings: Findings) -> Snapshots:
    """Report what is wrong with `projection: snapshots:`; return it with absolute paths."""
    to = section.items.get("to")
    if to is None or not snapshots.in_s3:
        for key in _FOR_S3:
            if getattr(snapshots, key) is not None:
                text = f"{key} is for snapshots in S3: write to: s3://BUCKET/PREFIX, or remove it"
                findings.problem(section, PATH, text)
        if to is None or snapshots.to in _PLACES:
            return snapshots
        if "://" in str(snapshots.to) or str(snapshots.to).lower().startswith("s3:"):
            text = "expected broker, none, a folder, or s3://BUCKET/PREFIX"
            findings.problem(to, joined(PATH, "to"), text)
        folder = findings.masks.in_folder(to.folder, str(snapshots.to))
        return msgspec.structs.replace(snapshots, to=folder)
    _check_bucket(to, snapshots, findings)
    _check_endpoint(section, snapshots, findings)
    if (snapshots.access_key_id is None) != (snapshots.secret_access_key is None):
        text = "access_key_id and secret_access_key need each other"
        findings.problem(section, PATH, text)
    if snapshots.ca_file is None:
        return snapshots
    path = findings.masks.in_folder(section.items["ca_file"].folder, snapshots.ca_file)
    return msgspec.structs.replace(snapshots, ca_file=path)


def _check_bucket(to: Node, snapshots: Snapshots, findings: Findings) -> None:
    bucket, slash, prefix = str(snapshots.to).removeprefix(S3).partition("/")
    if not _BUCKET.fullmatch(bucket):
        text = "the bucket has no valid name: 3 to 63 letters, digits, -, . and _"
        findings.problem(to, joined(PATH, "to"), text)
    elif not _PREFIX.fullmatch(slash + prefix):
        text = "in the prefix, names between / may have letters, digits, -, ., _ and ="
        findings.problem(to, joined(PATH, "to"), text)


def _check_endpoint(section: Node, snapshots: Snapshots, findings: Findings) -> None:
    if snapshots.endpoint is None:
        return
    try:
        url = urlsplit(snapshots.endpoint)
        is_valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_valid = False
    else:
        is_valid = is_valid and not (url.username or url.query or url.fragment)
    if not is_valid:
        text = "expected a URL without a login, such as https://s3.example.org:9000"
        findings.problem(section.items["endpoint"], joined(PATH, "endpoint"), text)
