"""Circuit breakers and the retry budget, as people write them."""

import msgspec

from optimizer_config.model import BreakerSettings, Retries
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
    return msgspec.structs.replace(base, **{name: value for name, value in given.items() if value is not None})


def read_retries(root: Table) -> Retries:
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
    return msgspec.structs.replace(Retries(), **{name: value for name, value in given.items() if value is not None})
