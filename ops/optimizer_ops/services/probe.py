"""Ask the services themselves whether they answer: a whole AMQP login, and a PING to Redis."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pika  # type: ignore[import-untyped]
import pika.exceptions  # type: ignore[import-untyped]

from optimizer_client.amqp_url import amqp_parameters
from optimizer_ops.services.urls import Address, parse
from optimizer_wire.tls import tls_context, tls_trouble

PATIENCE_S = 5.0


def amqp_problem(url: str, patience_s: float = PATIENCE_S) -> str | None:
    """What keeps us from logging in at the broker, in a few words; None if nothing does."""
    address = parse(url)
    if problem := _closed(address, patience_s):
        return problem
    try:
        parameters = amqp_parameters(url, "optimizer services")
    except ValueError as error:
        return str(error).rstrip(".")
    parameters.connection_attempts = 1
    parameters.socket_timeout = parameters.stack_timeout = patience_s
    try:
        with _quiet_pika():
            pika.BlockingConnection(parameters).close()
    except (pika.exceptions.AMQPError, OSError) as error:
        return _refusal(error, address)
    return None


def _refusal(error: Exception, address: Address) -> str:
    match error:
        case pika.exceptions.ProbableAuthenticationError():
            return f"it refused the login of {address.user or 'guest'}"
        case pika.exceptions.ProbableAccessDeniedError():
            return f"it refused the virtual host {address.path or '/'}"
        case pika.exceptions.ConnectionClosedByBroker():
            return f"it closed the connection: {error.reply_text}"
    trouble = tls_trouble(error, encrypted=not address.plain)
    return trouble or "something listens there, but it does not speak AMQP 0-9-1 with us"


def redis_problem(url: str, patience_s: float = PATIENCE_S) -> str | None:
    """What keeps us from using Redis, in a few words; None if nothing does."""
    address = parse(url)
    if problem := _closed(address, patience_s):
        return problem
    commands = [["PING"]]
    if address.path:
        commands.insert(0, ["SELECT", address.path])
    if address.password:
        commands.insert(0, ["AUTH", *([address.user] if address.user else []), address.password])
    try:
        with _connected(url, address, patience_s) as connection, connection.makefile("rb") as answers:
            for command in commands:
                connection.sendall(_resp(command))
                answer = answers.readline(512).decode(errors="replace").strip()
                if not answer.startswith("+"):
                    return f"it answered {command[0]} with {answer.lstrip('-')!r}"
    except OSError as error:
        return tls_trouble(error, encrypted=not address.plain) or f"it broke off: {error}"
    return None


def _closed(address: Address, patience_s: float) -> str | None:
    try:
        socket.create_connection((address.host, address.port), timeout=patience_s).close()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


@contextmanager
def _connected(url: str, address: Address, patience_s: float) -> Iterator[socket.socket]:
    with socket.create_connection((address.host, address.port), timeout=patience_s) as plain:
        if address.plain:
            yield plain
        else:
            with tls_context(url).wrap_socket(plain, server_hostname=address.host) as secured:
                yield secured


def _resp(command: list[str]) -> bytes:
    words = [word.encode() for word in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


@contextmanager
def _quiet_pika() -> Iterator[None]:
    """A failed probe is an answer, not an error worth pika's many lines about it."""
    log = logging.getLogger("pika")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)
