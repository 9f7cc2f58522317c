"""The AMQP URL for pika. It means the same as for the asyncio client, whose library has other query parameters."""

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pika  # type: ignore[import-untyped]

from optimizer_wire.urls import masked_url

CONNECT_TIMEOUT_S = 10.0
HEARTBEAT_S = 10

_TLS = frozenset({"cafile", "capath", "certfile", "keyfile", "no_verify_ssl"})
_IGNORED = frozenset({"name", "timeout", "auth"})


def amqp_parameters(url: str, connection_name: str) -> Any:
    """The `pika.URLParameters` of a URL; `connection_name` is shown in RabbitMQ's own pages.

    :raises ValueError: with a sentence without the password, if the URL cannot be used.
    """
    try:
        parameters = _parse(url)
    except (ValueError, TypeError, SyntaxError, OSError) as error:
        raise ValueError(f"The AMQP URL {masked_url(url)} cannot be used: {error}.") from None
    parameters.client_properties = {**(parameters.client_properties or {}), "connection_name": connection_name}
    return parameters


def _parse(url: str) -> Any:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    passed_on: dict[str, Any] = {
        "socket_timeout": CONNECT_TIMEOUT_S,
        "stack_timeout": CONNECT_TIMEOUT_S,
        "heartbeat": HEARTBEAT_S,
    }
    passed_on |= query
    for name in _TLS | _IGNORED:
        passed_on.pop(name, None)
    netloc = parts.netloc
    if parts.username and parts.password is None:
        netloc = netloc.replace("@", ":@", 1)
    parameters = pika.URLParameters(urlunsplit((parts.scheme, netloc, parts.path, urlencode(passed_on), "")))
    if parts.scheme == "amqps" and "ssl_options" not in query:
        parameters.ssl_options = pika.SSLOptions(_tls_context(query), parameters.host)
    return parameters


def _tls_context(query: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=query.get("cafile"), capath=query.get("capath"))
    if certfile := query.get("certfile"):
        context.load_cert_chain(certfile, query.get("keyfile"))
    if query.get("no_verify_ssl", "0") != "0":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
