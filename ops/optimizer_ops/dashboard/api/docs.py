"""The description as a page: no script, nothing from elsewhere."""

import re
from html import escape
from typing import Any

_HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Optimizer: HTTP API</title>
<meta name="color-scheme" content="light dark">
<link rel="stylesheet" href="/static/dashboard.css">
<link rel="stylesheet" href="/static/docs.css">
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
</head>
<body class="docs">
<main>
"""


def page(document: dict[str, Any]) -> str:
    """All operations: what they do, what they take, what they answer, and a line for the shell."""
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            groups.setdefault(operation["tags"][0], []).append(_operation(path, method.upper(), operation))
    info = document["info"]
    parts = [f"<h1>HTTP API</h1><p>{_prose(info['description'])}</p>"]
    parts.append('<p><a href="/">Dashboard</a> · <a href="/openapi.json">openapi.json</a></p>')
    parts += [f"<h2>{escape(name)}</h2>{''.join(operations)}" for name, operations in groups.items()]
    return f"{_HEAD}{''.join(parts)}</main></body></html>\n"


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    details = f"<p>{_prose(operation['description'])}</p>" if "description" in operation else ""
    rows = "".join(_parameter(each) for each in operation.get("parameters", ()))
    table = f"<dl>{rows}</dl>" if rows else ""
    failures = ", ".join(status for status in operation["responses"] if status != "200")
    return (
        f"<section><h3><code>{method} {escape(path)}</code></h3><p>{escape(operation['summary'])}.</p>{details}{table}"
        f"<pre>{escape(_example(path, method))}</pre>"
        f'<p class="fails">May fail with {failures}.</p></section>'
    )


def _parameter(each: dict[str, Any]) -> str:
    schema = each["schema"]
    kind = " | ".join(schema["enum"]) if "enum" in schema else schema.get("type", "")
    default = f", by default {schema['default']}" if "default" in schema else ""
    words = each.get("description", "")
    meaning = ": ".join(filter(None, (f"{kind}{default}", words)))
    return f"<dt><code>{escape(each['name'])}</code></dt><dd>{escape(meaning)}</dd>"


def _prose(text: str) -> str:
    """Words in backquotes as code."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", escape(text))


def _example(path: str, method: str) -> str:
    if method == "GET":
        return f"curl -s http://127.0.0.1:8502{path}"
    body = '{"what": {"task": "code"}, "dry_run": true}' if "flush" in path else "{}"
    return (
        f"curl -s -X POST http://127.0.0.1:8502{path} -H 'Authorization: Bearer '$OPTIMIZER_ADMIN_TOKEN "
        f"-H 'Content-Type: application/json' -d '{body}'"
    )
