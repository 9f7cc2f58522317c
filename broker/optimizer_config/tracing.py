"""Where traces are sent, as people write it: `[tracing]` and OpenTelemetry's own variables."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from optimizer_config.reader import Table, shown

_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class TracingSettings(msgspec.Struct, frozen=True):
    """`endpoint` is the collector's address for OTLP over HTTP; empty leaves it to the variables of OpenTelemetry.

    `sample` is the share of new traces that is kept, None what those variables say (all, if they say nothing); whether
    a trace is kept that an agent began, the agent has decided.
    """

    on: bool = False
    endpoint: str = ""
    sample: float | None = None


def read_tracing(root: Table) -> TracingSettings:
    """`[tracing]`.

    :raises ConfigError: naming the place.
    """
    table = root.table("tracing")
    endpoint, sample = table.text("endpoint"), table.share("sample")
    if endpoint is not None:
        parts = urlsplit(endpoint)
        if parts.username or parts.password:
            table.fail("endpoint", "must hold no password: OTEL_EXPORTER_OTLP_HEADERS is for that.")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            table.fail("endpoint", f'must be an address like "http://127.0.0.1:4318", got {shown(endpoint)}.')
    table.finish()
    return TracingSettings(on=endpoint is not None, endpoint=endpoint or "", sample=sample)


def with_environment(settings: TracingSettings, environ: Mapping[str, str]) -> TracingSettings:
    """The settings, with what OpenTelemetry's own variables turn on or off."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return msgspec.structs.replace(settings, on=False)
    if any(environ.get(name, "").strip() for name in _VARIABLES):
        return msgspec.structs.replace(settings, on=True, endpoint="")
    return settings
