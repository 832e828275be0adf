"""No command prints a secret, wherever the file has it; other values are printed."""

from pathlib import Path

from tests.e2e.command import run, written

CONFIG = """
variables: {LITERAL: q1w2-literal}
auth: {jwt: {secret_file: jwt.txt}, session: {secret: "q1w2 in the file itself"}}
broker: {url: "wss://q1w2user:q1w2@word@127.0.0.1:9/x"}
projection:
  snapshots:
    {to: "s3://tables/hub", endpoint: "http://127.0.0.1:9", access_key_id: a,
     secret_access_key: q1w2/3}
email: {office: {host: mail.example.org, email: hub@example.org, password: $FROM_ENV}}
url:
  login:
    pattern: /login
    handler: OIDCAuth
    kwargs: {issuer: "https://login.example", client_id: hub, client_secret: q1w2-client}
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      url: postgresql://q1w2:q1w2/s@x@db.example/x
      columns: {body: TEXT, key: {type: TEXT, default: q1w2}}
      headers: {X-Api-Key: q1w2, Authorization: Bearer q1w2, X-Other: q1w2}
      default: {api_key: q1w2, topic: Help}
      message_default:
        POST: {secret: "'q1w2'", from: "'$FROM_ENV'", other: "'$LITERAL'", to: "'all@example.org'"}
      prepare: msg.update(x=args.get('token') == 'q1w2')
      open: len(f'q1w2 {args["password"]}' if args.get('password') else '')
      alert:
        to: ann@example.org
        subject: $FROM_ENV
        attachments: ["https://files.example/a?api_key=q1w2&sig=q1w2#q1w2=q1w2"]
        images: {logo: "https://q1w2@files.example/logo.png?q1w2"}
"""


def test_no_output_of_a_command_has_a_secret(tmp_path: Path) -> None:
    (tmp_path / "jwt.txt").write_text("q1w2" * 10)
    file = written(tmp_path, CONFIG)
    env = {"FROM_ENV": "q1w2-environment"}
    shown = run("config", file, env=env)
    assert shown.returncode == 0, shown.stderr
    checked = run("check", file, env=env)
    assert checked.returncode == 0, checked.stderr
    listed = run("sessions", file, "list", env=env)
    assert listed.returncode != 0  # nothing answers on port 9
    for done in (shown, checked, listed):
        assert "q1w2" not in done.stdout + done.stderr
    for text in ("all@example.org", "ann@example.org", "mail.example.org", "Help", "/notes"):
        assert text in shown.stdout
    assert "wss://***@127.0.0.1:9/x" in shown.stdout
    assert "https://files.example/a?api_key=***&sig=***" in shown.stdout


def test_no_error_message_reveals_a_secret(tmp_path: Path) -> None:
    (tmp_path / "jwt.txt").write_text("q1w2")
    text = CONFIG.replace("prepare: ", "prepare: ((").replace("db.example", "db example")
    text = text.replace("url: postgresql://", "url: ").replace("Bearer q1w2", "[q1w2]")
    text = text.replace("q1w2@word", "q1w2/pass@word")
    done = run("check", written(tmp_path, text), env={"FROM_ENV": "q1w2-environment"})
    assert done.returncode == 2
    assert "not a Python expression" in done.stderr
    assert "is not the URL of a database" in done.stderr
    assert "expected nats://HOST:PORT" in done.stderr
    assert "q1w2" not in done.stdout + done.stderr
