"""Routes and model aliases: every entry names a known backend."""

from collections.abc import Iterator, Mapping

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


def warnings_about(sections: Mapping[str, Routes], backends: dict[str, Backend], file: str) -> tuple[str, ...]:
    """What looks like a mistake in some routes, by section of the file, but may be meant."""
    return tuple(
        f'{file}: {section}.{name} asks {backend.name} for "{model}", which is not among its models '
        f"({', '.join(backend.models)}); it is asked for all the same."
        for section, routes in sections.items()
        for name, backend, model in _models_of(routes, backends)
        if model not in backend.models
    )


def _models_of(routes: Routes, backends: dict[str, Backend]) -> Iterator[tuple[str, Backend, str]]:
    for name, entries in routes.items():
        for entry in entries:
            backend, slash, model = entry.partition("/")
            if slash:
                yield name, backends[backend], model


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
