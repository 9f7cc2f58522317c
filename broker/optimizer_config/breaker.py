"""Circuit breakers and the retry budget, as people write them."""

from typing import Any

import msgspec

from optimizer_config.model import BreakerSettings, RetrySettings
from optimizer_config.reader import Table


def read_breaker(owner: Table, base: BreakerSettings) -> BreakerSettings:
    """The `breaker` of a table; what it does not say is taken from `base`.

    :raises ConfigError: naming the place.
    """
    table = owner.table("breaker")
    given = {
        "failures": table.whole("failures"),
        "within_s": table.seconds("within_s", least=0.1),
        "open_s": table.seconds("open_s", least=0.1),
    }
    table.finish()
    return msgspec.structs.replace(base, **_written(given))


def read_retries(root: Table) -> RetrySettings:
    """`[retries]`.

    :raises ConfigError: naming the place.
    """
    table = root.table("retries")
    given = {
        "share": table.share("share"),
        "within_s": table.seconds("within_s", least=0.1),
        "least": table.whole("least", least=0),
    }
    table.finish()
    return RetrySettings(**_written(given))


def _written(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}
