"""Whom the units are for: the whole machine, or one user; what differs between the two. Pure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Scope = Literal["system", "user"]

ACCOUNT = "optimizer"
# Of every process; keys of backends are for their workers alone.
CREDENTIALS = ("amqp_url", "redis_url", "history_url", "admin_token")
# What the credentials of the machine are called in /etc/credstore, where systemd looks for them; none must be there.
CREDENTIAL_PREFIX = "optimizer."

# Needs no privilege, so that a user's own manager can do it too.
_FOR_ALL = """\
NoNewPrivileges=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
UMask=0027"""

_FOR_SYSTEM = """\
CapabilityBoundingSet=
AmbientCapabilities=
DevicePolicy=closed
PrivateDevices=yes
PrivateTmp=yes
PrivateUsers=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=read-only
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the units of a scope go, and what stands in them instead of the names of the templates."""

    scope: Scope
    units: Path
    folder: str
    words: dict[str, str]


def place(scope: Scope, optimizer: Path, home: Path, config: str | None) -> Place:
    """The place of a scope.

    :param optimizer: the program that the units start.
    :param home: of the user, for whom units of the scope `user` are.
    :param config: the configuration file that they use, if not the usual one.
    """
    system = scope == "system"
    folder = "/etc/optimizer" if system else "%h/.config/optimizer"
    environment = [f"Environment=OPTIMIZER_CONFIG={config}"] if config else []
    account = [f"User={ACCOUNT}", f"Group={ACCOUNT}"] if system else []
    words = {
        "optimizer": str(optimizer),
        "folder": folder,
        "after": "Wants=network-online.target\nAfter=network-online.target rabbitmq-server.service redis-server.service"
        if system
        else "After=network-online.target",
        "account": "\n".join((*account, *environment)),
        "credentials": "\n".join(load_credential(name) for name in CREDENTIALS) if system else "",
        # A user's manager of systemd 252 would take the folder of the configuration for it.
        "state": "StateDirectory=optimizer\nStateDirectoryMode=0750" if system else "",
        "hardening": f"{_FOR_ALL}\n{_FOR_SYSTEM}" if system else _FOR_ALL,
        "wanted_by": "multi-user.target" if system else "default.target",
    }
    units = Path("/etc/systemd/system") if system else home / ".config/systemd/user"
    return Place(scope, units, folder, words)


def load_credential(name: str) -> str:
    """The line that hands a credential of the machine to a service; one that is not there is left out."""
    return f"LoadCredential={name}:{CREDENTIAL_PREFIX}{name}"
