"""`deploy/nats/single.conf`: one nats-server with TLS, and a user for each role of one hub."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from eventhub.jetstream.permissions import PREFIX, USERS
from tests.e2e.command import GOOD, output, post, refused, rows, run, written
from tests.e2e.hub import running_hub
from tests.e2e.test_tls import make_certificate
from tests.nats_server import nats_server

DEPLOY = Path(__file__).parents[2] / "deploy"
BROKER = """
broker:
  url: {url}
  user: {prefix}{user}
  password: the-password-of-{user}
  ca_file: {folder}/hub.pem
"""
ENVIRONMENT = {
    "NATS_NAME": "n1",
    **{f"EVENTHUB_{user.upper()}": f'"the-password-of-{user}"' for user in USERS},
}


def test_a_hub_serves_and_is_backed_up_with_the_users_of_the_shipped_file(tmp_path: Path) -> None:
    folder = tmp_path / "nats"
    folder.mkdir()
    make_certificate(folder, "nats")
    printed = output("nats-permissions", written(tmp_path, GOOD))
    (folder / "eventhub-users.conf").write_text(printed)
    text = (DEPLOY / "nats" / "single.conf").read_text()
    text = re.sub(r"^(listen|http): .*$", "", text, flags=re.MULTILINE)  # ports of the test
    text = text.replace("/etc/nats/server.crt", f"{folder}/hub.pem")
    text = text.replace("/etc/nats/server.key", f"{folder}/hub.key")
    environment = {**ENVIRONMENT, "NATS_DATA": str(folder)}
    with nats_server(folder, {}, text=text, environment=environment) as url:
        url = f"tls://127.0.0.1:{urlsplit(url).port}"

        def config(user: str) -> str:
            return GOOD + BROKER.format(url=url, prefix=PREFIX, user=user, folder=folder)

        with running_hub(tmp_path / "hub", config("hub")) as hub:
            post(f"{hub.url}/notes", id="a", body="x")
            assert [row["id"] for row in rows(f"{hub.url}/notes")] == ["a"]
        archive = tmp_path / "hub.zip"
        own = written(tmp_path, config("hub"))
        assert "does not allow this user" in refused(1, run("backup", own, archive))
        assert run("backup", written(tmp_path, config("backup")), archive).returncode == 0
