"""The rights of RabbitMQ users against what they need. Only `rabbitmqctl` knows them; where it cannot be run, this
is said.
"""

import asyncio
import json
import shutil
from typing import Any

from optimizer_config.model import Config
from optimizer_ops.doctor.finding import Area, Finding
from optimizer_ops.permissions.rights import Rights, rights_of
from optimizer_ops.services.urls import parse

_PATIENCE_S = 30.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_DO = "optimizer permissions prints the commands; run them where RabbitMQ is."


class _NotKnown(Exception):
    """The rights cannot be seen; the message says why."""


async def examine(config: Config) -> list[Finding]:
    """What is found of the users of the configuration; nothing if it has none."""
    area = Area("rights")
    if not config.users:
        return []
    vhost = parse(config.amqp_url).path or "/"
    try:
        given = await _given(config, vhost)
    except _NotKnown as error:
        area.warning(f"The rights of the users are not known: {error}.", f"Where RabbitMQ is: {_DO}")
        return area.findings
    for rights in rights_of(config):
        _compare(area, rights, given.get(rights.user))
    if "guest" in given and "guest" not in config.users:
        area.warning("The user guest may still do everything.", "rabbitmqctl delete_user guest")
    return area.findings


def _compare(area: Area, rights: Rights, given: dict[str, Any] | None) -> None:
    if given is None:
        area.failed(f"The user {rights.user} has no rights on this virtual host.", _DO)
        return
    differing = [name for name in ("configure", "write", "read") if given.get(name) != getattr(rights, name)]
    if differing:
        area.failed(f"The rights of {rights.user} to {' and '.join(differing)} are not what they must be.", _DO)
    else:
        area.ok(f"{rights.user} has the rights that it needs.")


async def _given(config: Config, vhost: str) -> dict[str, dict[str, Any]]:
    program = shutil.which("rabbitmqctl")
    if program is None or parse(config.amqp_url).host not in _LOOPBACK:
        raise _NotKnown("rabbitmqctl cannot be run here for this broker")
    words = (program, "-q", "list_permissions", "-p", vhost, "--formatter", "json")
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise _NotKnown("rabbitmqctl does not end") from None
    try:
        rows: list[dict[str, Any]] = json.loads(output)
    except ValueError:
        raise _NotKnown(f"rabbitmqctl failed ({process.returncode}); it wants root or the user rabbitmq") from None
    return {str(row["user"]): row for row in rows}
