"""Where the client finds the optimizer, and what pika makes of the URL."""

import ssl

import pytest

from optimizer_client.amqp_url import amqp_parameters
from optimizer_client.settings import DEFAULT_AMQP_URL, ClientSettings


def test_arguments_come_before_the_environment_and_that_before_the_default():
    """The URL and the prefix are the argument, else the variable, else those of a local RabbitMQ."""
    environ = {"OPTIMIZER_AMQP_URL": "amqp://env/", "OPTIMIZER_PREFIX": "p"}

    assert _pair(ClientSettings.read({})) == (DEFAULT_AMQP_URL, "optimizer")
    assert _pair(ClientSettings.read(environ)) == ("amqp://env/", "p")
    assert _pair(ClientSettings.read(environ, url="amqp://arg/", prefix="q")) == ("amqp://arg/", "q")


def test_the_url_may_be_in_a_file(tmp_path):
    """A URL with a password can be kept in a file that the environment names."""
    (tmp_path / "url").write_text("amqp://u:p@file/\n")

    assert ClientSettings.read({"OPTIMIZER_AMQP_URL_FILE": str(tmp_path / "url")}).amqp_url == "amqp://u:p@file/"


@pytest.mark.parametrize("url", ["http://x/", "localhost:5672", "amqp://u:secret@h:99999/", "amqp:///"])
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url):
    """A wrong URL is a `ValueError` at once, and its sentence does not show the password."""
    with pytest.raises(ValueError, match="AMQP URL") as caught:
        ClientSettings.read({}, url=url)

    assert "secret" not in str(caught.value)


def test_settings_do_not_show_the_password():
    """The password is in no text of the settings."""
    assert "secret" not in repr(ClientSettings.read({}, url="amqp://u:secret@h/"))


def test_user_host_and_vhost_are_decoded():
    """Percent signs in a URL mean the same to pika as to the asyncio client."""
    parameters = amqp_parameters("amqp://my%40user:p%2Fw@h:1234/my%2Fvhost", "name")

    assert (parameters.credentials.username, parameters.credentials.password) == ("my@user", "p/w")
    assert (parameters.host, parameters.port, parameters.virtual_host) == ("h", 1234, "my/vhost")
    assert parameters.client_properties["connection_name"] == "name"


@pytest.mark.parametrize(
    ("url", "vhost", "user"), [("amqp://h", "/", "guest"), ("amqp://h/", "/", "guest"), ("amqp://u@h/%2F", "/", "u")]
)
def test_what_a_url_leaves_out_has_the_usual_value(url, vhost, user):
    """Without a path it is the vhost `/`, without a user it is guest, without a password it is empty."""
    parameters = amqp_parameters(url, "name")

    assert (vhost, user) == (parameters.virtual_host, parameters.credentials.username)


def test_query_parameters_of_the_asyncio_client_are_understood():
    """The same URL serves both clients: TLS files, heartbeat, and what only the other library knows."""
    parameters = amqp_parameters("amqps://h/?no_verify_ssl=1&heartbeat=7&timeout=3&name=x", "name")

    assert (parameters.port, parameters.heartbeat) == (5671, 7)
    assert parameters.ssl_options.context.verify_mode == ssl.CERT_NONE


def test_tls_verifies_unless_told_otherwise():
    """`amqps://` checks the certificate and the host's name."""
    parameters = amqp_parameters("amqps://h/", "name")

    assert parameters.ssl_options.context.verify_mode == ssl.CERT_REQUIRED
    assert parameters.ssl_options.server_hostname == "h"


@pytest.mark.parametrize("url", ["amqp://u:secret@h/?heartbeat=often", "amqps://h/?cafile=/nowhere", "amqp://h/?wat=1"])
def test_a_parameter_that_cannot_be_used_is_refused(url):
    """A wrong query parameter is a `ValueError` that does not show the password."""
    with pytest.raises(ValueError, match="cannot be used") as caught:
        amqp_parameters(url, "name")

    assert "secret" not in str(caught.value)


def _pair(settings):
    return settings.amqp_url, settings.prefix


def test_the_url_as_a_credential(tmp_path):
    """The URL may be a systemd credential; whatever is said otherwise goes before it."""
    (tmp_path / "amqp_url").write_text("amqp://u:secret@h/\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}

    assert ClientSettings.read(environ).amqp_url == "amqp://u:secret@h/"
    assert ClientSettings.read(environ | {"OPTIMIZER_AMQP_URL": "amqp://o/"}).amqp_url == "amqp://o/"
    assert ClientSettings.read({"CREDENTIALS_DIRECTORY": str(tmp_path / "none")}).amqp_url.endswith("5672/")
