"""From the configuration of sinks to the sinks, with their secrets."""

import ssl
from collections.abc import Mapping
from typing import NoReturn

from optimizer_config.alert_settings import AnySink, CommandSink, DesktopSink, EmailSink, Kept, WebhookSink
from optimizer_config.alert_sinks import checked_webhook_url
from optimizer_config.credentials import Secret, kept_secret
from optimizer_config.errors import ConfigError
from optimizer_ops.alerts.sinks.mail import Mail
from optimizer_ops.alerts.sinks.program import Command, Desktop
from optimizer_ops.alerts.sinks.sink import Teller
from optimizer_ops.alerts.sinks.webhook import Webhook


def build(sink: AnySink, environ: Mapping[str, str] | None = None) -> Teller:
    """The sink, ready to tell.

    :raises ConfigError: if a secret or certificate that it needs is not there, or cannot be used.
    """
    match sink:
        case WebhookSink():
            _check_authority(sink.name, sink.ca_file)
            return Webhook(sink, _url(sink, environ), _secret(sink.name, "secret", sink.secret, environ))
        case EmailSink():
            _check_authority(sink.name, sink.ca_file)
            password = _secret(sink.name, "password", sink.password, environ)
            if sink.user is not None and password is None:
                _fail(sink.name, "has a user and no password: write password_file or password_env.")
            return Mail(sink, password)
        case DesktopSink():
            return Desktop(sink)
        case CommandSink():
            return Command(sink)


def _url(sink: WebhookSink, environ: Mapping[str, str] | None) -> Secret:
    url = _secret(sink.name, "url", sink.url, environ)
    if url is None:
        _fail(sink.name, "has no URL: write url, url_file or url_env.")
    checked_webhook_url(url.reveal(), lambda sentence: _fail(sink.name, f"has a URL that {sentence}"))
    return url


def _secret(sink: str, key: str, kept: Kept, environ: Mapping[str, str] | None) -> Secret | None:
    return kept_secret(kept, f'the {key} of the sink "{sink}" in [[alerts.sinks]]', environ)


def _check_authority(sink: str, ca_file: str | None) -> None:
    if ca_file is None:
        return
    try:
        ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "it holds no certificate" if isinstance(error, OSError) else str(error)
        _fail(sink, f"has the ca_file {ca_file}, which cannot be used: {reason}.")


def _fail(sink: str, sentence: str) -> NoReturn:
    raise ConfigError(f'The sink "{sink}" in [[alerts.sinks]] {sentence}')
