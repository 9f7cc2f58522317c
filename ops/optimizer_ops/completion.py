"""What the shell offers on Tab. Whatever is wrong with the configuration is not told here: nothing is offered then."""

import typer

from optimizer_config.errors import ConfigError
from optimizer_config.load import load


def backend_names(context: typer.Context, incomplete: str) -> list[str]:
    """The backends that begin so: those of the configuration, or of the catalogue if it names none."""
    try:
        config = load(context.params.get("config"))
    except ConfigError:
        return []
    names = [name for name in config.backends if name in config.configured] or list(config.backends)
    taken = context.params.get("names") or context.params.get("backends") or ()
    return [name for name in names if name.startswith(incomplete) and name not in taken]
