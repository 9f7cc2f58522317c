"""Who sends a request: its tenant, and the agents in whose names its RabbitMQ user may speak. Pure."""

import re
from functools import lru_cache

from optimizer_config.model import Config
from optimizer_wire.errors import AuthenticationError

DEFAULT_TENANT = "default"


class Senders:
    """The users of a deployment, as a coordinator goes by them.

    With `[users]` in the configuration only those with the role of an agent may ask, and only in their own names. With
    `[tenants]` anybody may ask whom RabbitMQ vouches for. With neither, anybody may.
    """

    def __init__(self, config: Config) -> None:
        self._users = config.users
        self._tenants = config.tenants
        self._speaks = lru_cache(maxsize=10_000)(self._may_speak)

    @property
    def must_be_known(self) -> bool:
        """Whether a message must carry its RabbitMQ user."""
        return bool(self._users or self._tenants)

    def tenant_of(self, user: str | None, agent: str) -> str:
        """The tenant of a user who asks in the name of an agent.

        :raises AuthenticationError: if it may not.
        """
        if not self.must_be_known:
            return DEFAULT_TENANT
        if user is None:
            raise AuthenticationError(
                "This deployment has users or tenants: the message must carry its RabbitMQ user (user_id)."
            )
        if not self._users:
            return self._tenants.get(user, DEFAULT_TENANT)
        known = self._users.get(user)
        if known is None or known.role != "agent":
            raise AuthenticationError(
                f"The RabbitMQ user {user} is no agent of this deployment: the configuration has no [users] entry "
                'of this name with role = "agent".'
            )
        if not self.may_speak(user, agent):
            raise AuthenticationError(f"The RabbitMQ user {user} may not ask in the name of the agent {agent[:80]!r}.")
        return known.tenant

    def own_tenant(self, user: str) -> str:
        """The tenant of a user, whatever it asks."""
        known = self._users.get(user)
        return known.tenant if known is not None else self._tenants.get(user, DEFAULT_TENANT)

    def may_speak(self, user: str | None, agent: str) -> bool:
        """Whether what a user says in the name of an agent may be told as this agent's."""
        return self._speaks(user, agent)

    def _may_speak(self, user: str | None, agent: str) -> bool:
        if not self._users:
            return not self._tenants or user is not None
        known = self._users.get(user or "")
        return known is not None and any(_covers(name, agent) for name in known.agents)


def _covers(name: str, agent: str) -> bool:
    """Whether a name of the configuration, in which `*` stands for any text, is that of an agent."""
    return re.fullmatch(".*".join(map(re.escape, name.split("*"))), agent, re.DOTALL) is not None
