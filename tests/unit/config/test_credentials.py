"""Where keys are found, and what is not taken for one."""

import pytest

from optimizer_config import ConfigError, Secret, api_key
from optimizer_config.credentials import admin_token
from optimizer_config.load import load
from optimizer_config.model import Backend

BACKEND = Backend("groq", "openai", "https://h", ("m",), api_key_env="GROQ_API_KEY")


def test_the_order_of_places(tmp_path):
    """The variable, the file it names, the file of the configuration, then systemd's folder."""
    for name in ("variable", "configured", "groq"):
        (tmp_path / name).write_text(f"from-{name}\n")
    backend = Backend("groq", "openai", "h", ("m",), api_key_env="K", api_key_file=str(tmp_path / "configured"))
    bare = Backend("groq", "openai", "h", ("m",))
    named, folder = {"K_FILE": str(tmp_path / "variable")}, {"CREDENTIALS_DIRECTORY": str(tmp_path)}

    assert api_key(backend, {"K": " direct ", **named, **folder}) == Secret("direct")
    assert api_key(backend, named | folder) == Secret("from-variable")
    assert api_key(backend, {"K": "", **folder}) == Secret("from-configured")
    assert api_key(bare, folder) == Secret("from-groq")


def test_no_key(tmp_path):
    """Nothing set is no key, nor is a folder of credentials for others."""
    assert api_key(BACKEND, {}) is None
    assert api_key(BACKEND, {"GROQ_API_KEY": "  ", "CREDENTIALS_DIRECTORY": str(tmp_path)}) is None


def test_the_process_environment_is_the_default(monkeypatch):
    """Without a mapping the process's own environment counts."""
    monkeypatch.setenv("GROQ_API_KEY", "from-here")

    assert api_key(BACKEND) == Secret("from-here")


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "tab\tted", "kløver", "nul\0"])
def test_what_would_break_a_header_is_no_key(key):
    """A key of several lines or strange letters is refused without being shown."""
    with pytest.raises(ConfigError) as caught:
        api_key(BACKEND, {"GROQ_API_KEY": key})

    assert "GROQ_API_KEY does not hold a usable key" in str(caught.value)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"), [(None, "cannot be read"), (b" \n", "is empty"), (b"\xff", "it is not text")]
)
def test_files_that_hold_no_key(tmp_path, content, told):
    """A file that is named must be there and hold a key."""
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError, match=told) as caught:
        api_key(BACKEND, {"GROQ_API_KEY_FILE": str(file)})

    assert str(file) in str(caught.value)


def test_the_admin_token(tmp_path):
    """The token of the admin port comes from the variable, its file, or systemd's folder; none is fine."""
    for name in ("file", "admin_token"):
        (tmp_path / name).write_text(f"a-long-token-from-{name}\n")
    named, folder = {"OPTIMIZER_ADMIN_TOKEN_FILE": str(tmp_path / "file")}, {"CREDENTIALS_DIRECTORY": str(tmp_path)}

    assert admin_token({}) is None
    assert admin_token({"OPTIMIZER_ADMIN_TOKEN": "a-long-direct-token", **named}) == Secret("a-long-direct-token")
    assert admin_token(named | folder) == Secret("a-long-token-from-file")
    assert admin_token(folder) == Secret("a-long-token-from-admin_token")


@pytest.mark.parametrize("token", ["short", "two words that are long enough"])
def test_what_is_no_admin_token(token):
    """A token that could be guessed, or would break a header, is refused without being shown."""
    with pytest.raises(ConfigError, match="OPTIMIZER_ADMIN_TOKEN") as caught:
        admin_token({"OPTIMIZER_ADMIN_TOKEN": token})

    assert token not in str(caught.value)


def test_urls_from_credentials(tmp_path):
    """The URLs of RabbitMQ and Redis, which hold passwords, may be systemd credentials; the environment goes before."""
    (tmp_path / "amqp_url").write_text("amqp://u:secret@h/\n")
    (tmp_path / "redis_url").write_text("redis://:secret@h/1\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "HOME": str(tmp_path)}

    assert load(None, environ).amqp_url == "amqp://u:secret@h/"
    assert load(None, environ).redis_url == "redis://:secret@h/1"
    assert load(None, environ | {"OPTIMIZER_AMQP_URL": "amqp://other/"}).amqp_url == "amqp://other/"
