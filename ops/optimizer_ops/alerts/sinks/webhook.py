"""Tells by an HTTP POST."""

import json
import os
import ssl

import aiohttp

from optimizer_config.alert_settings import WebhookSink, masked_place
from optimizer_config.credentials import Secret
from optimizer_ops.alerts.message import Message
from optimizer_ops.alerts.sinks.sink import NotTold


class Webhook:
    """POSTs each message as JSON; any answer of 2xx means that it was taken."""

    def __init__(self, sink: WebhookSink, url: Secret, secret: Secret | None) -> None:
        self._sink = sink
        self._url = url
        self._secret = secret
        self._tls = ssl.create_default_context(cafile=sink.ca_file) if sink.ca_file else True

    async def tell(self, message: Message) -> None:
        """POST it. Redirects are not followed: they would take the secret with them.

        :raises NotTold: if there is no answer in time, or one that refuses it.
        """
        url = self._url.reveal()
        body = json.dumps({"text": message.text}).encode() if self._sink.slack else message.as_json()
        headers = {"Content-Type": "application/json", "Idempotency-Key": message.id}
        if self._secret is not None:
            headers[self._sink.header] = self._secret.reveal()
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._sink.timeout_s)) as session,
                session.post(url, data=body, headers=headers, ssl=self._tls, allow_redirects=False) as answer,
            ):
                status = answer.status
        except TimeoutError:
            raise NotTold(f"{masked_place(url)} did not answer within {self._sink.timeout_s:g} s.") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotTold(f"{masked_place(url)} cannot be reached: {_reason(error)}.") from None
        if not 200 <= status < 300:
            raise NotTold(f"{masked_place(url)} refused it with the HTTP status {status}.")


def _reason(error: Exception) -> str:
    """Why, without the URL, which some of these errors quote."""
    if isinstance(error, aiohttp.ClientConnectorError):
        failed = error.os_error
        return os.strerror(failed.errno) if failed.errno and failed.errno > 0 else str(failed.strerror or failed)
    return type(error).__name__
