"""Backups: everything that a hub has stored, as one file, and a hub from it, here or elsewhere.

The file is a ZIP archive: a snapshot of each stream (`jetstream.copying`), the key of the session
cookies, and a manifest. Tables are not in it: they are made from the log.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Final

import msgspec

from eventhub import __version__
from eventhub.config import Config
from eventhub.errors import Misconfigured, Unavailable
from eventhub.identity.cookie_secret import KEY_FILE
from eventhub.jetstream.copying import CHANNELS, CHUNK_BYTES, Copies, StreamCopy
from eventhub.opening import check_stopped, open_log
from projections.files import written

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
MOVING: Final = ".move-"
"""What the name of the folder begins with that holds the copy of a hub while it is moved."""
Report = Callable[[str, int], None]
"""Called with the name of each stream that is done, and its number of messages."""


class SavedStream(msgspec.Struct, frozen=True):
    """A stream in an archive."""

    copy: StreamCopy
    sha256: str
    """Of the member that has its bytes."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive contains."""

    format: int
    version: str
    """Of the hub that wrote it."""
    made: str
    streams: dict[str, SavedStream]


async def backup(config: Config, path: Path, report: Report) -> Manifest:
    """Write everything that the log holds to a file, and replace it; the hub may be running.

    Each stream is as it was at one moment; messages that come later are not in it.

    Raises:
        Misconfigured: the log has nothing: a mistake that would replace a backup.
        Unavailable: the broker does not answer, or the file cannot be written.
        EventHubError: the log is damaged.
    """
    streams: dict[str, SavedStream] = {}
    async with open_log(config) as event_log:
        copies = event_log.copies
        if not (names := await copies.stored()):
            where = f"in {config.data}" if config.broker.url is None else "at the broker"
            raise Misconfigured(f"nothing is stored {where}: is this where the hub's log is?")
        with written(path) as partial, _private(partial) as file, zipfile.ZipFile(file, "w") as to:
            for name in names:
                with to.open(name, "w", force_zip64=True) as member:
                    digest = hashlib.sha256()

                    def write(piece: bytes, to: IO[bytes] = member, digest: Any = digest) -> None:
                        digest.update(piece)
                        to.write(piece)

                    copy = await copies.save(name, write)
                streams[name] = SavedStream(copy, digest.hexdigest())
                report(name, copy.state["messages"])
            for name, saved in streams.items():
                if name.startswith(CHANNELS):
                    await _check_seals(copies, name, saved.copy)
            key = config.data / KEY_FILE
            if key.exists():
                to.write(key, KEY_FILE)
            manifest = Manifest(
                format=FORMAT,
                version=__version__,
                made=datetime.now(UTC).isoformat(timespec="seconds"),
                streams=streams,
            )
            to.writestr(MANIFEST, json.dumps(msgspec.to_builtins(manifest), indent=1))
    return manifest


async def _check_seals(copies: Copies, name: str, copy: StreamCopy) -> None:
    """Refuse a backup in which more is sealed than the stream had when it was copied."""
    if await copies.sealed(name, copy.epoch or "") > copy.state["last_seq"]:
        raise Unavailable(f"{name} was sealed beyond the copy of it: back up again")


def _private(path: Path) -> IO[bytes]:
    """Open a new file that only this user can read: an archive holds keys."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


async def move(config: Config, target: Config, report: Report) -> None:
    """Make the streams of a hub again at another broker, or in another data folder.

    Clients go on from their positions. The old log stays as it is.

    Args:
        config: of the hub, all of whose processes are stopped.
        target: of the same hub at its new place.
        report: called for each stream that is made.

    Raises:
        Misconfigured: as `restore`.
        Unavailable: as `backup` and `restore`; or something was written meanwhile. Then the new
            place is empty again.
    """
    await check_stopped(config)
    folder = config.data if config.data.is_dir() else None  # that of a broker may have none
    with TemporaryDirectory(prefix=MOVING, dir=folder) as staged:
        archive = Path(staged) / "hub.zip"
        manifest = await backup(config, archive, lambda _name, _messages: None)

        async def check_unchanged() -> None:
            await check_stopped(config)
            async with open_log(config) as event_log:
                for name in await event_log.copies.stored():
                    saved = manifest.streams.get(name)
                    last = await event_log.copies.last(name)
                    if saved is None or last != saved.copy.state["last_seq"]:
                        raise Unavailable(
                            f"{name} was written to meanwhile, and nothing was moved: stop all"
                            " processes of the hub, and move it again"
                        )

        await restore(target, archive, report, keep_positions=True, is_whole=check_unchanged)


async def _nothing() -> None:
    pass


async def restore(
    config: Config,
    path: Path,
    report: Report,
    *,
    keep_positions: bool,
    is_whole: Callable[[], Awaitable[None]] = _nothing,
) -> Manifest:
    """Make the streams of an archive at a broker that has none of them.

    Everything is read and checked before anything is made. If a stream cannot be made, those that
    were made before are deleted, so that it can be tried again.

    Args:
        config: of the hub, which is stopped.
        path: of the archive.
        report: called for each stream.
        keep_positions: clients go on from the positions that they have. Only right if nothing was
            written after the backup: otherwise their positions mean other events now.
        is_whole: called once all streams are made; if it raises, they are deleted again.

    Raises:
        Misconfigured: the file is not an archive, is damaged, or the broker has such a stream.
        Unavailable: the broker does not answer.
    """
    await check_stopped(config)
    with _opened(path) as archive:
        manifest = _checked(archive, path)
        async with open_log(config) as event_log:
            copies = event_log.copies
            taken = sorted(manifest.streams.keys() & set(await copies.stored()))
            if taken:
                raise Misconfigured(
                    f"the log has {', '.join(taken)} already: take an empty data folder, or a"
                    " broker without these streams; delete them there if they are what a killed"
                    " attempt has left"
                )
            made: list[str] = []
            try:
                for name, saved in manifest.streams.items():
                    with archive.open(name) as member:
                        pieces = _pieces(member)
                        await copies.load(name, saved.copy, pieces, keeps_epoch=keep_positions)
                    made.append(name)
                    report(name, saved.copy.state["messages"])
                for name, saved in manifest.streams.items():
                    if name.startswith(CHANNELS) and not keep_positions:
                        await copies.adopt_segments(name, saved.copy.epoch or "")
                await is_whole()
                _restore_key(archive, config.data / KEY_FILE)
            except BaseException:
                for name in made:
                    await copies.delete(name)
                raise
    return manifest


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}") from None
    except zipfile.BadZipFile:
        raise Misconfigured(f"{path} is not a backup, or is cut off") from None


def _checked(archive: zipfile.ZipFile, path: Path) -> Manifest:
    """Return the manifest, once all that it names was read and is as it was written."""
    try:
        manifest = msgspec.json.decode(archive.read(MANIFEST), type=Manifest)
        for name, saved in manifest.streams.items():
            digest = hashlib.sha256()
            with archive.open(name) as member:
                for piece in _pieces(member):
                    digest.update(piece)
            if digest.hexdigest() != saved.sha256:
                raise Misconfigured(f"{path} is damaged: {name} has another checksum")
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
        raise Misconfigured(f"{path} is not a backup") from None
    except zipfile.BadZipFile as error:
        raise Misconfigured(f"{path} is damaged: {error}") from None
    if manifest.format != FORMAT:
        raise Misconfigured(
            f"{path} was written by version {manifest.version}: restore it with that"
        )
    return manifest


def _pieces(member: IO[bytes]) -> Iterator[bytes]:
    while piece := member.read(CHUNK_BYTES):
        yield piece


def _restore_key(archive: zipfile.ZipFile, path: Path) -> None:
    """Write the key of the session cookies, unless the folder has one: users stay logged in."""
    if KEY_FILE not in archive.namelist() or path.exists():
        return
    try:
        with _private(path) as file:
            file.write(archive.read(KEY_FILE))
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error}") from None
