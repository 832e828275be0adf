"""Files for TLS that cannot be used are named before anything is connected."""

import ssl
from pathlib import Path

import pytest

from eventhub.config import Broker
from eventhub.errors import Misconfigured
from eventhub.jetstream.certificates import TlsFiles
from tests.e2e.test_tls import make_certificate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_certificate(tmp_path, "nats")
    (tmp_path / "empty.pem").write_text("")
    return tmp_path


def test_without_files_the_system_decides() -> None:
    assert TlsFiles.of(Broker(url="tls://a")).context() is None


def test_files_make_a_context_that_checks_names_and_versions(folder: Path) -> None:
    pem, key = str(folder / "hub.pem"), str(folder / "hub.key")
    context = TlsFiles.of(Broker(ca_file=pem, cert_file=pem, key_file=key)).context()
    assert context is not None
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.cert_store_stats()["x509"] == 1


@pytest.mark.parametrize("name", ["absent.pem", "empty.pem", "hub.key"])
def test_a_file_without_certificates_is_named(folder: Path, name: str) -> None:
    with pytest.raises(Misconfigured, match=rf"broker\.ca_file: .*{name}"):
        TlsFiles(ca_file=str(folder / name)).context()
    with pytest.raises(Misconfigured, match=rf"broker\.cert_file, .*{name}"):
        TlsFiles(None, str(folder / name), str(folder / "hub.key")).context()
