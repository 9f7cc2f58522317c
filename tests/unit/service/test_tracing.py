"""Traces of our processes: off unless configured."""

import json
import sys
import time

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from optimizer_config.errors import ConfigError
from optimizer_config.load import load
from optimizer_config.tracing import TracingSettings, with_environment
from optimizer_service import tracing
from optimizer_service.logs import configure_logs

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = PARENT[:-2] + "00"


@pytest.fixture
def spans():
    """What is traced into memory."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter
    tracing.use(None)


def test_off_is_nothing():
    """Without tracing there are no steps."""
    assert tracing.begin("x", "consumer", PARENT, {}) is None


def test_step(spans):
    """A step belongs to the trace that a message told, began when it says, and links to others."""
    step = tracing.begin("x", "consumer", PARENT, {"a": 1, "b": None}, ago_s=2.0, links=[PARENT, ""])
    step.note({"c": "d", "e": None})
    step.fail("internal")
    step.end()
    (span,) = spans.get_finished_spans()

    assert f"{span.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{span.parent.span_id:016x}" == PARENT.split("-")[2]
    assert span.parent.is_remote
    assert dict(span.attributes) == {"a": 1, "c": "d", "error.type": "internal"}
    assert [f"{link.context.span_id:016x}" for link in span.links] == [PARENT.split("-")[2]]
    assert 2.0 <= (span.end_time - span.start_time) / 1e9 < 10
    assert step.trace.split("-")[1:3] == [PARENT.split("-")[1], f"{span.context.span_id:016x}"]
    assert not span.status.is_ok


def test_unsampled_stays_unsampled(spans):
    """A trace that an agent has decided not to keep is not kept here either, and goes on as such."""
    step = tracing.begin("x", "consumer", UNSAMPLED, {})
    step.end()

    assert not spans.get_finished_spans()
    assert step.trace.endswith("-00")


def test_not_installed(monkeypatch):
    """Traces that are configured and not installed are one sentence that says what to do."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    with pytest.raises(ConfigError, match=r"pip install \"fleet-optimizer\[otel\]\""):
        tracing.Tracing(TracingSettings(on=True, endpoint="http://127.0.0.1:9"), "worker", "i")


def test_off_imports_nothing(monkeypatch):
    """A process that traces nothing does not need OpenTelemetry."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    tracing.Tracing(TracingSettings(), "worker", "i").stop()

    assert tracing.begin("x", "consumer", PARENT, {}) is None


def test_dead_collector_harms_nobody(capsys):
    """A collector that is not there holds the end of a process up for moments only, and is one line of log."""
    configure_logs(as_json=True)
    traces = tracing.Tracing(TracingSettings(on=True, endpoint="http://127.0.0.1:9"), "worker", "i")
    tracing.begin("x", "consumer", "", {}).end()
    started = time.monotonic()
    traces.stop()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    assert time.monotonic() - started < 2 * tracing.LAST_S + 2
    assert tracing.begin("x", "consumer", "", {}) is None
    assert {line["event"] for line in lines} == {"traces are not taken"}
    assert lines[0]["component"] == "worker"
    assert lines[0]["instance"] == "i"


def test_configured(tmp_path):
    """The file turns traces on, OpenTelemetry's variables go over it, and turn them off."""
    file = tmp_path / "optimizer.toml"
    file.write_text('[tracing]\nendpoint = "http://127.0.0.1:4318"\nsample = 0.1\n')

    assert load(str(file), {}).tracing == TracingSettings(on=True, endpoint="http://127.0.0.1:4318", sample=0.1)
    assert load(str(file), {"OTEL_SDK_DISABLED": "true"}).tracing.on is False
    assert load(str(file), {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b:4318"}).tracing.endpoint == ""
    assert with_environment(TracingSettings(), {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b/v1/traces"}).on
    assert not with_environment(TracingSettings(), {}).on


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('endpoint = "collector:4318"', "must be an address like"),
        ('endpoint = "http://user:pass@collector:4318"', "must hold no password"),
        ("sample = 2", "must be a share"),
        ('endpiont = "http://collector:4318"', "endpoint"),
    ],
)
def test_wrong_settings(tmp_path, line, says):
    """A wrong setting is a sentence that names the place and not the password."""
    file = tmp_path / "optimizer.toml"
    file.write_text(f"[tracing]\n{line}\n")

    with pytest.raises(ConfigError, match=says) as told:
        load(str(file), {})
    assert "tracing" in str(told.value)
    assert "pass@" not in str(told.value)
