"""How a trace travels, and what its parts are called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, messaging_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes

from optimizer_wire import tracing
from optimizer_wire.tracing import traceparent_headers, traceparent_in

WELL = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_well_formed():
    """What W3C gives as an example is taken, and written again as it was."""
    assert traceparent_in({"traceparent": WELL}) == WELL
    assert traceparent_headers(WELL) == {"traceparent": WELL}


@pytest.mark.parametrize(
    "said",
    [
        None,
        {},
        {"traceparent": ""},
        {"traceparent": 7},
        {"traceparent": WELL.encode()},
        {"traceparent": WELL.upper()},
        {"traceparent": f"{WELL}\n"},
        {"traceparent": f"{WELL}-more"},
        {"traceparent": "ff" + WELL[2:]},
        {"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"},
        {"traceparent": f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01"},
    ],
)
def test_malformed(said):
    """Whatever is no traceparent is none, and no header is made of it."""
    assert traceparent_in(said) == ""
    assert traceparent_headers(traceparent_in(said)) is None


@given(st.text())
def test_only_55_characters_pass(text):
    """No other text gets into our messages."""
    assert traceparent_in({"traceparent": text}) in {"", text}
    assert len(traceparent_in({"traceparent": text})) in {0, 55}


def test_names_are_those_of_the_conventions():
    """The pinned names are those of the installed version of the semantic conventions."""
    known = {
        value
        for module in (gen_ai_attributes, messaging_attributes, error_attributes, http_attributes, server_attributes)
        for value in vars(module).values()
        if isinstance(value, str)
    }
    pinned = {
        value
        for name, value in vars(tracing).items()
        if name.startswith(("GEN_AI_", "MESSAGING_", "SERVER_", "HTTP_", "ERROR_"))
    }

    assert len(pinned) >= 15
    assert pinned <= known
