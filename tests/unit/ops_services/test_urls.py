"""URLs of services: their parts, their ports, and what people get to see."""

import pytest

from optimizer_ops.services.urls import (
    DEFAULT_AMQP_URL,
    DEFAULT_REDIS_URL,
    Address,
    ServicesUnavailable,
    ServiceUrls,
    parse,
    shown,
    with_port,
)


@pytest.mark.parametrize("environ", [{}, {"OPTIMIZER_AMQP_URL": "", "OPTIMIZER_REDIS_URL": ""}])
def test_without_a_word_in_the_environment_the_usual_ports_are_meant(environ):
    """An unset and an empty variable mean the same."""
    assert ServiceUrls.from_environ(environ) == ServiceUrls(DEFAULT_AMQP_URL, DEFAULT_REDIS_URL)


def test_the_environment_decides():
    """Both URLs are taken as they are."""
    urls = ServiceUrls.from_environ({"OPTIMIZER_AMQP_URL": "amqp://b/", "OPTIMIZER_REDIS_URL": "redis://r"})

    assert urls == ServiceUrls("amqp://b/", "redis://r")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("amqp://u:p%2F@h:1/v%2F", Address("amqp", "h", 1, "u", "p/", "v/")),
        ("amqp://h", Address("amqp", "h", 5672, "", "", "")),
        ("amqps://h", Address("amqps", "h", 5671, "", "", "")),
        ("redis://:secret@[::1]/3", Address("redis", "::1", 6379, "", "secret", "3")),
    ],
)
def test_a_url_is_taken_apart(url, address):
    """Ports have the defaults of their scheme, and names are unquoted."""
    assert parse(url) == address


@pytest.mark.parametrize("url", ["http://h/", "127.0.0.1:6379", "redis://h:port/", ""])
def test_what_is_no_url_of_a_service_is_refused_in_a_sentence(url):
    """The sentence is for people and ends like one."""
    with pytest.raises(ServicesUnavailable, match=r"\.$"):
        parse(url)


def test_a_wrong_url_does_not_show_its_password():
    """A sentence about a URL may end up in a log."""
    with pytest.raises(ServicesUnavailable) as raised:
        parse("http://u:secret@h/")

    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "local", "plain"),
    [
        ("amqp://localhost/", True, True),
        ("redis://[::1]/", True, True),
        ("amqps://127.0.0.1/", True, False),
        ("redis://cache.example/", False, True),
    ],
)
def test_only_a_plain_port_of_this_machine_can_be_started(url, local, plain):
    """TLS and other machines are somebody else's to set up."""
    assert (parse(url).on_this_machine, parse(url).plain) == (local, plain)


@pytest.mark.parametrize(
    ("url", "moved"),
    [
        ("amqp://u:p@localhost:5672/v", "amqp://u:p@127.0.0.1:7/v"),
        ("redis://:p%40@localhost", "redis://:p%40@127.0.0.1:7"),
        ("redis://127.0.0.1/0", "redis://127.0.0.1:7/0"),
    ],
)
def test_the_same_service_on_another_port(url, moved):
    """Login, virtual host and database stay."""
    assert with_port(url, 7) == moved


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("amqp://guest:guest@h:1/", "amqp://guest:guest@h:1/"),
        ("redis://h/0", "redis://h/0"),
        ("amqp://u:secret@h/", "amqp://u:***@h/"),
    ],
)
def test_passwords_worth_hiding_are_hidden(url, text):
    """The login that every new broker has is no secret, and a URL that can be copied is of more use."""
    assert shown(url) == text
