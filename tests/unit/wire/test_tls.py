"""TLS in URLs: which files a connection uses, and what went wrong, in words."""

import ssl

import pytest

from optimizer_config import ConfigError, load
from optimizer_wire.tls import TlsFiles, tls_trouble, with_tls


@pytest.fixture
def files(tmp_path):
    """Files that can be read; what is in them is for those who connect."""
    made = [tmp_path / name for name in ("ca.pem", "c.pem", "c.key")]
    for file in made:
        file.touch()
    return TlsFiles(*map(str, made))


def test_files_become_part_of_the_url(files):
    """An encrypted URL gets the files under the names that its library knows; one for plain text stays as it is."""
    assert with_tls("amqps://h/v?heartbeat=5", files) == (
        "amqps://h/v?heartbeat=5"
        + "".join(f"&{key}={getattr(files, key).replace('/', '%2F')}" for key in ("cafile", "certfile", "keyfile"))
    )
    redis = with_tls("rediss://h/0", files)
    assert [part.partition("=")[0] for part in redis.partition("?")[2].split("&")] == [
        "ssl_ca_certs",
        "ssl_certfile",
        "ssl_keyfile",
    ]
    assert with_tls("amqp://h/", files) == "amqp://h/"
    assert with_tls("amqps://h/", TlsFiles()) == "amqps://h/"


def test_the_url_wins(files, tmp_path):
    """What the URL itself names is used, for Redis under either name; a certificate goes with the key beside it."""
    own = tmp_path / "own.pem"
    own.touch()

    assert "cafile=" + str(own).replace("/", "%2F") in with_tls(f"amqps://h/?cafile={own}", files)
    for name in ("cafile", "ssl_ca_certs"):
        url = with_tls(f"rediss://h/0?{name}={own}", TlsFiles(cafile=files.cafile))
        assert url == "rediss://h/0?ssl_ca_certs=" + str(own).replace("/", "%2F")
    with pytest.raises(ValueError, match="needs both"):
        with_tls(f"amqps://h/?certfile={own}", files)


def test_a_missing_file_is_told(files):
    """A file that cannot be read is named at once, without the URL's password; starting again would not help."""
    with pytest.raises(ValueError, match=r"The file /nowhere/ca\.pem cannot be read: No such file") as caught:
        with_tls("amqps://u:secret@h/", TlsFiles(cafile="/nowhere/ca.pem"))
    assert "secret" not in str(caught.value)

    for environ in (
        {"OPTIMIZER_AMQP_URL": "amqps://h/?cafile=/nowhere/ca.pem"},
        {"OPTIMIZER_REDIS_URL": "rediss://h/0", "OPTIMIZER_TLS_CA_FILE": "/nowhere/ca.pem"},
    ):
        with pytest.raises(ConfigError, match=r"/nowhere/ca\.pem cannot be read"):
            load(None, {"XDG_CONFIG_HOME": "/nowhere", **environ})


def test_files_of_the_configuration(files, tmp_path):
    """[tls] holds for both servers, relative to its file; the environment goes over it; plain text is told."""
    file = tmp_path / "optimizer.toml"
    file.write_text('amqp_url = "amqps://h/"\nredis_url = "redis://far"\n[tls]\nca_file = "ca.pem"\n')

    config = load(str(file), {})
    assert config.amqp_url == with_tls("amqps://h/", TlsFiles(files.cafile))
    assert [warning.partition(",")[0] for warning in config.warnings] == ["redis_url (redis://far) is not encrypted"]
    assert not load(str(file), {"OPTIMIZER_REDIS_URL": "redis://127.0.0.1"}).warnings
    other = load(str(file), {"OPTIMIZER_TLS_CA_FILE": files.certfile})
    assert other.amqp_url == with_tls("amqps://h/", TlsFiles(files.certfile))
    file.write_text('[tls]\nca = "ca.pem"\n')
    with pytest.raises(ConfigError, match=r"tls\.ca is not a known key; known are ca_file"):
        load(str(file), {})


@pytest.mark.parametrize(
    ("error", "encrypted", "words"),
    [
        (OSError("gone"), True, None),
        (ConnectionRefusedError(111, "Connection refused"), True, None),
        (ConnectionResetError(104, "reset"), True, "may want a certificate of this client"),
        (ConnectionResetError(104, "reset"), False, None),
        (ssl.SSLEOFError(8, "EOF"), True, "may want a certificate of this client"),
        (ssl.SSLEOFError(8, "EOF"), False, "TLS failed: "),
        (OSError(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong")), True, "does not speak TLS"),
        (OSError(ssl.SSLError(524297, "[SSL] PEM lib (_ssl.c:3926)")), True, "they must be PEM"),
    ],
)
def test_trouble(error, encrypted, words):
    """Trouble with TLS is told wherever it is in the chain of errors; other trouble is left to others."""
    told = tls_trouble(error, encrypted=encrypted)

    assert (told is None) if words is None else (words in told)
