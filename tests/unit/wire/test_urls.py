"""URLs without their secrets."""

import pytest

from optimizer_wire.urls import masked_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://guest:secret@host:5672/v", "amqp://guest:***@host:5672/v"),
        ("amqps://user@host/", "amqps://user@host/"),
        ("redis://:secret@host:6379/0?password=secret", "redis://:***@host:6379/0"),
        ("redis://host", "redis://host"),
        ("amqp://u:p@host:port/", "(not a URL)"),
        ("amqp://[::1/", "(not a URL)"),
    ],
)
def test_masked(url, shown):
    """A URL is shown without its password and query."""
    assert masked_url(url) == shown
