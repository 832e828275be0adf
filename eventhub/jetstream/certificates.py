"""TLS to the servers: whom a process believes, and how it proves who it is itself."""

import ssl
from typing import Self

import msgspec

from eventhub.errors import Misconfigured


class TlsFiles(msgspec.Struct, frozen=True):
    """PEM files, by absolute paths."""

    ca_file: str | None = None
    """Certificates of those that may have signed the servers'; None: those of the system."""
    cert_file: str | None = None
    """The certificate of this client, for servers that ask for one."""
    key_file: str | None = None
    """Its key, not encrypted."""

    @classmethod
    def of(cls, broker: object) -> Self:
        """Return the files that a configuration names under `broker:`."""
        return cls(*(getattr(broker, name) for name in cls.__struct_fields__))

    def context(self) -> ssl.SSLContext | None:
        """Return the context of connections by TLS; None for that of the system.

        Raises:
            Misconfigured: a file cannot be read, or certificate and key do not belong together.
        """
        if self == TlsFiles():
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise Misconfigured(f"broker.ca_file: {self.ca_file}: {_reason(error)}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert_file is not None:
            try:
                context.load_cert_chain(self.cert_file, self.key_file, _no_password)
            except (OSError, ssl.SSLError, ValueError) as error:
                files = f"{self.cert_file}, {self.key_file}"
                text = f"broker.cert_file, broker.key_file: {files}: {_reason(error)}"
                raise Misconfigured(text) from error
        return context


def _no_password() -> bytes:
    """Refuse an encrypted key: otherwise OpenSSL would ask the terminal."""
    raise ValueError("the key is encrypted")


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
