"""Routes and model aliases: every entry names a known backend."""

from optimizer_config.guess import did_you_mean
from optimizer_config.model import ALIASES, Backend
from optimizer_config.reader import Table

# `embed` is for embeddings; the other names are tasks.
ROUTES = ("code", "reasoning", "creative", "long", "general", "embed", "default")
Routes = dict[str, tuple[str, ...]]


def read_routes(root: Table, backends: dict[str, Backend]) -> Routes:
    """`[routes]`: by task, each a list of `backend` or `backend/model`."""
    table = root.table("routes")
    routes = {name: entries for name in ROUTES if (entries := _entries(table, name, backends))}
    table.finish()
    return routes


def read_models(root: Table, backends: dict[str, Backend]) -> Routes:
    """`[models]`: aliases, each a route of its own. An alias must not hide something else that can be asked for."""
    table = root.table("models")
    for name in table.unread():
        if name == "auto" or ALIASES.get(name, name) in backends or "/" in name:
            meaning = "lets the optimizer choose" if name == "auto" else "already names a backend"
            table.fail(name, f"cannot be an alias: it {'reads as backend/model' if '/' in name else meaning}.")
    return {name: _entries(table, name, backends) for name in table.unread()}


def backends_of(routes: Routes) -> set[str]:
    """The backends that the entries name."""
    return {entry.partition("/")[0] for entries in routes.values() for entry in entries}


def _entries(table: Table, key: str, backends: dict[str, Backend]) -> tuple[str, ...]:
    if isinstance(table.peek(key), str):
        table.fail(key, f'must be a list, for example {key} = ["{table.peek(key)}"].')
    return tuple(_entry(table, key, entry, backends) for entry in table.texts(key) or ())


def _entry(table: Table, key: str, entry: str, backends: dict[str, Backend]) -> str:
    written, slash, model = entry.partition("/")
    backend = ALIASES.get(written, written)
    if backend not in backends:
        hint = did_you_mean(written, [*backends, *ALIASES])
        table.fail(key, f'names the unknown backend "{written}"{hint or "; describe it in [backends]."}')
    if slash and not model.strip():
        table.fail(key, f'has "{entry}" without a model after the slash.')
    return f"{backend}{slash}{model}"
