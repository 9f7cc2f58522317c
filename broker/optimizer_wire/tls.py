"""TLS for RabbitMQ (`amqps://`) and Redis (`rediss://`): the files that a URL names, and what went wrong, in words.

The files are part of the URL (`?cafile=…&certfile=…&keyfile=…`, for both alike), so that whoever has it connects in the
same way. What is set for all connections is added to a URL that does not say otherwise. Certificates are always
verified, the host's name included, and nothing falls back to plain text.
"""

import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

ENCRYPTED = frozenset({"amqps", "rediss"})
# How the files are called in our URLs, and in those of redis-py.
_REDIS_NAMES = {"cafile": "ssl_ca_certs", "certfile": "ssl_certfile", "keyfile": "ssl_keyfile"}
_OTHER_NAME = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_CHAIN = 10
_ENDED = re.compile(r"\b(SSL\w*Error|ConnectionResetError|BrokenPipeError)\b")
_BAD_FILES = ("PEM_LIB", "NO_START_LINE", "NO_CERTIFICATE_OR_CRL_FOUND", "KEY_VALUES_MISMATCH")
_CLIENT_FILES = "OPTIMIZER_TLS_CERT_FILE and OPTIMIZER_TLS_KEY_FILE, or certfile and keyfile in the URL, name one."
# In TLS 1.3 a server refuses a client's certificate only after the handshake, and may be gone before that is read.
_BROKEN_OFF = f"it ended the TLS connection at once; it may want a certificate of this client: {_CLIENT_FILES}"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The certificate of the authority that signs servers, and the client's own certificate with its key."""

    cafile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """`OPTIMIZER_TLS_CA_FILE`, `OPTIMIZER_TLS_CERT_FILE`, `OPTIMIZER_TLS_KEY_FILE`."""
        return cls(*(environ.get(f"OPTIMIZER_TLS_{word}_FILE") or None for word in ("CA", "CERT", "KEY")))

    def over(self, others: "TlsFiles") -> "TlsFiles":
        """These, and where there are none the others; a certificate and its key belong together."""
        pair = self if self.certfile or self.keyfile else others
        return TlsFiles(self.cafile or others.cafile, pair.certfile, pair.keyfile)


def with_tls(url: str, files: TlsFiles) -> str:
    """The URL with the files that it does not name itself; a URL for plain text stays as it is.

    :raises ValueError: with a sentence, if a file cannot be read, or a certificate comes without its key.
    """
    parts = urlsplit(url)
    if parts.scheme not in ENCRYPTED:
        return url
    query = dict(parse_qsl(parts.query))
    own = _taken_from(query)
    chosen = own.over(files)
    if bool(chosen.certfile) != bool(chosen.keyfile):
        raise ValueError("A client certificate needs both, its file and that of its key (certfile and keyfile)")
    for name, redis in _REDIS_NAMES.items():
        if path := getattr(chosen, name):
            _check(path)
            query[redis if parts.scheme == "rediss" else name] = path
    return urlunsplit(parts._replace(query=urlencode(query)))


def tls_context(url: str) -> ssl.SSLContext:
    """What a connection to this URL verifies the server with, and shows of itself."""
    files = _taken_from(dict(parse_qsl(urlsplit(url).query)))
    context = ssl.create_default_context(cafile=files.cafile)
    if files.certfile:
        context.load_cert_chain(files.certfile, files.keyfile)
    return context


def _taken_from(query: dict[str, str]) -> TlsFiles:
    return TlsFiles(*(query.pop(name, None) or query.pop(redis, None) for name, redis in _REDIS_NAMES.items()))


def _check(path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise ValueError(f"The file {path} cannot be read: {error.strerror}") from None


def tls_trouble(error: BaseException, *, encrypted: bool = False) -> str | None:
    """What is wrong with TLS, as the end of a sentence; None if the error is of another kind.

    `encrypted`: it happened while a connection with TLS was made, so that one that breaks off says something too.
    """
    causes = list(_causes(error))
    found = next((each for each in causes if isinstance(each, ssl.SSLError)), None)
    if isinstance(found, ssl.SSLCertVerificationError):
        return _untrusted(found)
    if isinstance(found, ssl.SSLEOFError | None) and encrypted and _broken_off(causes):
        return _BROKEN_OFF
    return _failed(found) if found else None


def _untrusted(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _OTHER_NAME:
        return f"its certificate is for another host: {error.verify_message.rstrip('.')}."
    return (
        f"its certificate is not trusted ({error.verify_message}); OPTIMIZER_TLS_CA_FILE, or cafile in the URL, "
        "names the certificate of the authority that signed it."
    )


def _failed(error: ssl.SSLError) -> str:
    reason = getattr(error, "reason", None) or str(error)
    told = reason.lower().replace("_", " ")
    if any(word in reason for word in ("WRONG_VERSION_NUMBER", "RECORD_LAYER")):
        return "what listens there does not speak TLS."
    if any(word in reason for word in ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "BAD_CERTIFICATE", "UNKNOWN_CA")):
        return f"it does not accept this client's certificate ({told}); {_CLIENT_FILES}"
    if any(word in reason.upper().replace(" ", "_") for word in _BAD_FILES):
        return f"files of certificates cannot be used ({told}): they must be PEM, and a key that of its certificate."
    return f"TLS failed: {told}."


def _broken_off(causes: list[BaseException]) -> bool:
    # pika keeps only the text of what came before.
    kinds = ssl.SSLEOFError | ConnectionResetError | BrokenPipeError
    return any(isinstance(each, kinds) or _ENDED.search(str(each)) for each in causes)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it came of, as far as it tells."""
    waiting, seen = [error], 0
    while waiting and seen < _CHAIN:
        each = waiting.pop(0)
        seen += 1
        yield each
        inner = (each.__cause__, each.__context__, *each.args, *getattr(each, "exceptions", ()))
        waiting += [cause for cause in (*inner, getattr(each, "exception", None)) if isinstance(cause, BaseException)]
