"""What an agent pays for importing the client."""

import json
import subprocess
import sys

import pytest

SERVER_ONLY = {
    "aiohttp",
    "genai_prices",
    "hiredis",
    "prometheus_client",
    "redis",
    "rich",
    "structlog",
    "typer",
    "uvloop",
}


def modules_after(statement):
    """The top-level modules that a fresh interpreter has loaded after a statement."""
    program = f"{statement}\nimport sys, json; print(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "statement",
    [
        "import optimizer_client",
        "from optimizer_client import AsyncOptimizer, Optimizer, optimized_api_call",
        "import optimizer_client.testing",
    ],
)
def test_the_client_needs_nothing_of_the_server(statement):
    """Neither aiohttp nor Redis nor anything else of the extras is imported by an agent."""
    assert set() == modules_after(statement) & SERVER_ONLY


@pytest.mark.parametrize(
    ("statement", "loaded"),
    [
        ("import optimizer_client", set()),
        ("import optimizer_client.testing", set()),
        ("from optimizer_client import Optimizer", {"pika"}),
        ("from optimizer_client import optimized_api_call", {"pika"}),
        ("from optimizer_client import AsyncOptimizer", {"aiormq"}),
    ],
)
def test_each_client_loads_its_own_amqp_library(statement, loaded):
    """An AMQP library is imported with the client that needs it, not before."""
    assert loaded == modules_after(statement) & {"pika", "aiormq", "aio_pika"}


def test_what_is_exported_exists():
    """Every name of `__all__` can be imported, and another name is an AttributeError."""
    import optimizer_client

    assert all(getattr(optimizer_client, name) is not None for name in optimizer_client.__all__)
    assert set(optimizer_client.__all__) <= set(dir(optimizer_client))
    with pytest.raises(AttributeError, match="no attribute 'Optimiser'"):
        _ = optimizer_client.Optimiser
