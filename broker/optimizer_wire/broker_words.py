"""What RabbitMQ and its library say when they refuse, in sentences for people. Pure."""

import re

from optimizer_wire.tls import tls_trouble

_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' for (?P<kind>\w+) '(?P<name>[^']+)'.*?: "
    r"received (?P<needs>.+?) but current is (?P<has>[^\"\n]+)"
)
_VALUE = re.compile(r"^the value '(?P<value>[^']*)' of type '\w+'$")


def difference(text: str) -> str:
    """RabbitMQ's refusal of a declaration as a sentence about what is there and what must be."""
    found = _INEQUIVALENT.search(text)
    if not found:
        return f"RabbitMQ has something else of this name: {text}"

    def value(raw: str) -> str:
        inner = _VALUE.match(raw.strip(" '"))
        plain = _VALUE.match(raw.strip())
        return (plain or inner or {"value": raw.strip(" '")})["value"]

    kind, name, argument = found["kind"], found["name"], found["argument"]
    return f"The {kind} {name} has {argument} = {value(found['has'])}, but needs {value(found['needs'])}."


def words(error: BaseException) -> str:
    """An error of the AMQP library as a sentence's end."""
    if trouble := tls_trouble(error):
        return trouble
    text = str(error) or type(error).__name__
    if "Connection.OpenOk" in text:
        return "the vhost does not exist, or this user may not use it."
    if "Login was refused" in text:
        return "RabbitMQ does not know the user, or not with this password."
    return text if text.endswith(".") else f"{text}."
