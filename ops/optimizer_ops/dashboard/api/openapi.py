"""The description of the API: OpenAPI 3.1, from the endpoints and the types that they take and answer."""

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from optimizer_ops.dashboard.api.cache import Meant
from optimizer_ops.dashboard.api.endpoint import Endpoint
from optimizer_ops.dashboard.api.errors import ErrorAnswer

_VARIABLE = re.compile(r"{(\w+)}")
_REASONS = {
    400: "The body is no JSON",
    401: "The token is missing or wrong",
    403: "Not without a token for this process",
    404: "There is no such thing",
    413: "The body is too large",
    415: "The body is no JSON by its Content-Type",
    422: "It is understood, and cannot be done",
    503: "A service is away; the message says which",
}
_ABOUT = """\
How the fleet does: what is now (Redis, RabbitMQ) and what was (the history). Times are Unix seconds, durations say \
their unit, money is in US dollars, shares are 0 to 1; null means that nobody knows. What fails answers \
`{"error": {"code", "message"}}`. Reading needs the token beyond 127.0.0.1, changing always: `Authorization: Bearer …`.\
"""


def description(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole document."""
    types = [ErrorAnswer, *(each.answers for each in endpoints), *(each.body for each in endpoints if each.body)]
    wanted = [each for each in dict.fromkeys(types) if each is not str]
    schemas, components = msgspec.json.schema_components(wanted, ref_template="#/components/schemas/{name}")
    references = dict(zip(wanted, schemas, strict=True))
    # A type cannot say that one of its fields is to be there.
    components[Meant.__name__]["minProperties"] = 1
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Optimizer", "version": version("fleet-optimizer"), "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, references: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _name(endpoint),
        "tags": [endpoint.group],
        "summary": endpoint.summary,
        "security": [{"token": []}] if endpoint.method == "POST" else [{}, {"token": []}],
        "responses": {"200": _success(endpoint, references), **_failures(endpoint, references)},
    }
    if endpoint.details:
        operation["description"] = endpoint.details
    if parameters := [*_path_parameters(endpoint), *_query_parameters(endpoint)]:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        schema = references[endpoint.body]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _name(endpoint: Endpoint) -> str:
    words = re.findall(r"[a-z]+", endpoint.path.removeprefix("/api"))
    return "_".join([endpoint.method.lower(), *words])


def _success(endpoint: Endpoint, references: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    media = endpoint.text or "application/json"
    schema = {"type": "string"} if endpoint.text else references[endpoint.answers]
    return {"description": endpoint.summary, "content": {media: {"schema": schema}}}


def _failures(endpoint: Endpoint, references: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    statuses = set() if endpoint.open else {401, 403}
    statuses |= {422}  # A parameter that it does not know.
    if endpoint.body is not None:
        statuses |= {400, 413, 415}
    if endpoint.may_be_missing:
        statuses |= {404}
    if endpoint.needs:
        statuses |= {503}
    content = {"application/json": {"schema": references[ErrorAnswer]}}
    failures = {str(status): {"description": _REASONS[status], "content": content} for status in sorted(statuses)}
    if endpoint.needs and "503" in failures:
        failures["503"]["description"] = f"Away: {' or '.join(endpoint.needs)}; the message says why"
    return failures


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1, "maxLength": 200}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema} for name in _VARIABLE.findall(endpoint.path)
    ]


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    _, components = msgspec.json.schema_components([endpoint.query])
    properties = components[endpoint.query.__name__]["properties"]
    return [
        {"name": name, "in": "query", "required": False, **_described(schema)}
        for name, schema in properties.items()
        if schema.get("type") != "null"
    ]


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter. What is not given is null to us, and cannot be given so in a URL."""
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    kind = dict(kinds[0] if len(kinds) == 1 else schema)
    if schema.get("default") is not None:
        kind["default"] = schema["default"]
    words = kind.pop("description", None)
    return {"schema": kind, **({"description": words} if words else {})}
