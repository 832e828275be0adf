"""Where snapshots are stored: what does not fit together is a problem, and secrets are hidden."""

import pytest

from eventhub.config import as_shown
from tests.unit.config.folder import Folder

FILE = "projection: {snapshots: {%s}}\nurl: {a: {pattern: /a, handler: MessageHandler}}\n"
IN_S3 = "to: 's3://tables/hub', "
KEYS = "access_key_id: hub-writes, secret_access_key: of-the-hub"


def test_a_bucket_has_an_endpoint_keys_and_a_file_beside_the_configuration(folder: Folder) -> None:
    folder.write("key", "from a file\n")
    given = IN_S3 + (
        "endpoint: 'https://minio.example.org:9000/s3', region: auto, ca_file: ca.pem,"
        " access_key_id: hub-writes, secret_access_key_file: key"
    )
    snapshots = folder.load(FILE % given).projection.snapshots
    assert snapshots.in_s3
    assert snapshots.to == "s3://tables/hub"
    assert snapshots.secret_access_key == "from a file"
    assert snapshots.ca_file == str(folder.path / "ca.pem")
    for to in ("s3://abc", "s3://a.b_c-d/", "s3://tables/a/b.c/date=1/"):
        assert folder.load(FILE % f"to: '{to}'").projection.snapshots.to == to


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("to: 's3://ab'", "snapshots.to: the bucket has no valid name"),
        ("to: 's3://'", "snapshots.to: the bucket has no valid name"),
        ("to: 's3:///prefix'", "snapshots.to: the bucket has no valid name"),
        ("to: 's3://user:pw@tables'", "snapshots.to: the bucket has no valid name"),
        ("to: 's3://tables/../other'", "snapshots.to: in the prefix"),
        ("to: 's3://tables/a//b'", "snapshots.to: in the prefix"),
        ("to: 's3://tables/a?b=c'", "snapshots.to: in the prefix"),
        ("to: 'gs://tables/hub'", "expected broker, none, a folder, or s3://BUCKET/PREFIX"),
        ("to: 's3:/tables/hub'", "expected broker, none, a folder, or s3://BUCKET/PREFIX"),
        ("to: 'S3://tables/hub'", "expected broker, none, a folder, or s3://BUCKET/PREFIX"),
        (IN_S3 + "access_key_id: a", "access_key_id and secret_access_key need each other"),
        (IN_S3 + "secret_access_key: a", "access_key_id and secret_access_key need each other"),
        (IN_S3 + "endpoint: 'minio:9000'", "endpoint: expected a URL without a login"),
        (IN_S3 + "endpoint: 'http://'", "endpoint: expected a URL without a login"),
        (IN_S3 + "endpoint: 'http://a:b@c'", "endpoint: expected a URL without a login"),
        (IN_S3 + "endpoint: 'http://a:99999'", "endpoint: expected a URL without a login"),
        (IN_S3 + "endpoint: 'https://a?b'", "endpoint: expected a URL without a login"),
        (IN_S3 + "endpont: 'https://a'", "unknown key 'endpont' (did you mean 'endpoint'?)"),
        (f"to: stored, {KEYS}", "access_key_id is for snapshots in S3"),
        ("region: auto", "region is for snapshots in S3"),
        ("to: broker, ca_file: a.pem", "ca_file is for snapshots in S3"),
    ],
)
def test_what_does_not_fit_together_is_a_problem(folder: Folder, given: str, words: str) -> None:
    assert words in "\n".join(folder.problems(FILE % given))


def test_the_secret_is_hidden_and_the_id_of_the_key_is_not(folder: Folder) -> None:
    config = folder.load(FILE % (IN_S3 + KEYS))
    shown = as_shown(config)["projection"]["snapshots"]
    assert shown["secret_access_key"] == "***"
    assert shown["access_key_id"] == "hub-writes"
    assert config.masks.mask("hub-writes of-the-hub") == "hub-writes ***"
