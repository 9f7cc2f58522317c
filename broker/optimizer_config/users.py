"""RabbitMQ users: their roles, and who belongs to which tenant, as people write it."""

import re
from typing import Any, get_args

from optimizer_config.guess import did_you_mean
from optimizer_config.model import ALIASES, Backend, Role, User
from optimizer_config.reader import Table

ALL_EVENTS = "optimizer.*"
# A user's name is part of the names of its queues, which have at most 255 bytes.
MAX_USER_BYTES = 128
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PATTERN = re.compile(r"([a-z0-9_]+|\*|#)(\.([a-z0-9_]+|\*|#))*")
_KEYS: dict[str, tuple[str, ...]] = {
    "agent": ("tenant", "agents"),
    "worker": ("backends",),
    "observer": ("events",),
    "coordinator": (),
    "recorder": (),
    "dashboard": (),
}


def read_users(root: Table, backends: dict[str, Backend]) -> dict[str, User]:
    """`[users.<name>]`: the RabbitMQ users of this deployment.

    :raises ConfigError: naming the place.
    """
    if root.has("users") and root.has("tenants"):
        root.fail("tenants", 'is not for a file with [users]; write tenant = "…" into the user\'s own table.')
    table = root.table("users")
    users = {name: _user(table, name, backends) for name in table.unread()}
    coordinators = [name for name, user in users.items() if user.role == "coordinator"]
    if len(coordinators) > 1:
        # Each believes the others who sent a request that they send back to its queue.
        table.fail(
            coordinators[1], f"is a second coordinator beside {coordinators[0]}; all coordinators share one user."
        )
    return users


def _user(table: Table, name: str, backends: dict[str, Backend]) -> User:
    if not name.isprintable() or not name.strip() or name[0] == "-" or len(name.encode()) > MAX_USER_BYTES:
        table.fail(name, f'must be printable text of at most {MAX_USER_BYTES} bytes that does not begin with "-".')
    own = table.table(name)
    role: Role | None = own.choice("role", get_args(Role))  # type: ignore[assignment]
    if role is None:
        own.fail("role", f"is missing; it is one of {', '.join(get_args(Role))}.")
    for key in ("tenant", "agents", "backends", "events"):
        if own.has(key) and key not in _KEYS[role]:
            own.fail(key, f"is not for the role {role}; it is for {_role_of(key)}.")
    fields: dict[str, Any] = {}
    if role == "agent":
        fields = {"tenant": _tenant(own) or "default", "agents": own.texts("agents") or (name,)}
    elif role == "worker":
        fields = {"backends": _backends(own, backends)}
    elif role == "observer":
        fields = {"events": _events(own)}
    own.finish()
    return User(role, **fields)


def _role_of(key: str) -> str:
    return next(f"an {role}" if role[0] in "ao" else f"a {role}" for role, keys in _KEYS.items() if key in keys)


def _tenant(table: Table) -> str | None:
    tenant = table.text("tenant")
    if tenant is not None and not _TENANT.fullmatch(tenant):
        table.fail("tenant", _bad_tenant(tenant))
    return tenant


def _bad_tenant(tenant: str) -> str:
    return f'must consist of at most 64 letters, digits, ".", "_" and "-", got "{tenant[:60]}".'


def _backends(table: Table, backends: dict[str, Backend]) -> tuple[str, ...]:
    names = table.texts("backends")
    if names is None:
        table.fail("backends", 'is missing; a worker needs it, for example backends = ["groq"].')
    for name in names:
        if ALIASES.get(name, name) not in backends:
            table.fail("backends", f'names the unknown backend "{name}"{did_you_mean(name, backends) or "."}')
    return tuple(ALIASES.get(name, name) for name in names)


def _events(table: Table) -> tuple[str, ...]:
    patterns = table.texts("events") or (ALL_EVENTS,)
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            table.fail("events", f'must hold patterns like "optimizer.cache.*", got "{pattern[:60]}".')
    return patterns


def read_tenants(root: Table) -> dict[str, str]:
    """`[tenants]`: which users belong together, where nothing else is said of users.

    :raises ConfigError: naming the place.
    """
    table = root.table("tenants")
    tenants: dict[str, str] = {}
    for tenant in table.unread():
        if not _TENANT.fullmatch(tenant):
            table.fail(tenant, _bad_tenant(tenant))
        for user in table.texts(tenant) or ():
            if tenants.setdefault(user, tenant) != tenant:
                table.fail(tenant, f'names the user "{user}", who already belongs to {tenants[user]}.')
    return tenants
