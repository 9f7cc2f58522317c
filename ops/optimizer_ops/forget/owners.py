"""Whose a message is: by what RabbitMQ vouches for, or by the call that a coordinator wrote. Pure."""

from optimizer_config.model import Config
from optimizer_coordinator.senders import DEFAULT_TENANT
from optimizer_wire.codec import decode
from optimizer_wire.errors import InvalidRequest
from optimizer_wire.messages import CALL_TYPE, Call


def tenant_of_user(config: Config, user: str | None) -> str | None:
    """The tenant of a RabbitMQ user; None if nobody can tell."""
    if config.users:
        known = config.users.get(user or "")
        return known.tenant if known is not None and known.role == "agent" else None
    if config.tenants:
        return None if user is None else config.tenants.get(user, DEFAULT_TENANT)
    return DEFAULT_TENANT


def users_of(config: Config, tenant: str) -> set[str]:
    """The RabbitMQ users of a tenant, as far as the configuration names them."""
    return {user for user in (*config.users, *config.tenants) if tenant_of_user(config, user) == tenant}


def tenant_of_message(config: Config, kind: str | None, user: str | None, body: bytes) -> str | None:
    """The tenant of a message in a queue; None if nobody can tell."""
    if kind != CALL_TYPE:
        return tenant_of_user(config, user)
    call = call_in(body)
    return call.waiter.tenant if call is not None else tenant_of_user(config, None)


def call_in(body: bytes) -> Call | None:
    """The call in a message, or None if it is none."""
    try:
        return decode(body, Call)
    except InvalidRequest:
        return None
