"""systemd accepts the units of `deploy/systemd`; the commands in them work as a test runs them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from datetime import datetime
from pathlib import Path

import pytest

from tests.e2e.command import GOOD, post, run
from tests.e2e.hub import running_hub

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
NAMES = sorted(path.name for path in UNITS.iterdir() if path.suffix != ".yaml")
SERVICES = [name for name in NAMES if name.endswith(".service")]
EXPOSURE = 20
"""What `systemd-analyze security` may find, in tenths: 100 is a service without any restriction."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not installed"
)


def settings(name: str, key: str) -> list[str]:
    """Return the values of a key in a unit, as systemd reads them."""
    found = re.findall(rf"^{key}=(.*)$", (UNITS / name).read_text("utf-8"), re.MULTILINE)
    return [value.replace("%%", "%").replace("$$", "$") for value in found]


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A folder of all units, whose programs are replaced by one that every machine has."""
    for name in NAMES:
        text = re.sub(r"/opt/eventhub/bin/[\w-]+", "/bin/true", (UNITS / name).read_text("utf-8"))
        (tmp_path / name.replace("@", "@gateway")).write_text(text)
    return tmp_path


@needs_systemd
@pytest.mark.parametrize("name", NAMES)
def test_systemd_accepts_a_unit(name: str, units: Path) -> None:
    unit = units / name.replace("@", "@gateway")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, ours) == (0, [])


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_few_rights(name: str, units: Path) -> None:
    unit = units / name.replace("@", "@gateway")
    limit = f"--threshold={EXPOSURE}"
    command = ["systemd-analyze", "security", "--offline=true", limit, str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_backup_of_a_night_replaces_that_of_a_week_ago(tmp_path: Path) -> None:
    """The service's own command, with folders of the test."""
    [command] = settings("eventhub-backup.service", "ExecStart")
    [data] = settings("eventhub-backup.service", "Environment")
    assert data == "EVENTHUB_DATA=/var/lib/eventhub"
    with running_hub(tmp_path, GOOD) as hub:
        places = {
            "/opt/eventhub/bin/eventhub": f"{sys.executable} -m eventhub",
            "/etc/eventhub/eventhub.yaml": str(hub.config),
            "/var/lib/eventhub-backup": str(tmp_path / "backups"),
        }
        for place, path in places.items():
            assert place in command
            command = command.replace(place, path)
        environment = {**os.environ, "EVENTHUB_DATA": str(tmp_path / "data")}
        before = datetime.now().astimezone()
        for night in ("first", "second"):
            post(f"{hub.url}/notes", id=night)
            subprocess.run(shlex.split(command), env=environment, check=True)
        days = {each.strftime("%A") for each in (before, datetime.now().astimezone())}
        made = sorted((tmp_path / "backups").iterdir())
        assert {path.name for path in made} <= {f"{day}.zip" for day in days}
        assert hub.stop() == 0
    newest = max(made, key=lambda path: path.stat().st_mtime)
    assert zipfile.is_zipfile(newest)
    done = run("restore", hub.config, newest, "--data", tmp_path / "other")
    assert done.returncode == 0, done.stderr
    assert "EH_notes: 2 messages" in done.stdout
