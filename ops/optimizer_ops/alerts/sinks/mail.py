"""Tells by mail."""

import smtplib
import ssl
from contextlib import closing, suppress
from email.message import EmailMessage
from email.utils import format_datetime, localtime
from functools import partial

from optimizer_config.alert_settings import EmailSink
from optimizer_config.credentials import Secret
from optimizer_ops.alerts.message import Message
from optimizer_ops.alerts.sinks.sink import NotTold, PartlyTold, in_thread


class Mail:
    """Sends each message as one mail to all addresses."""

    def __init__(self, sink: EmailSink, password: Secret | None) -> None:
        self._sink = sink
        self._password = password

    async def tell(self, message: Message) -> None:
        """Send it.

        :raises NotTold: if the server cannot be reached or takes it for none of the addresses.
        :raises PartlyTold: if it takes it for some of them.
        """
        await in_thread(partial(self._send, message))

    def _send(self, message: Message) -> None:
        sink = self._sink
        try:
            # Closing it politely after an error would wait for the answer of a server that may be gone.
            with closing(self._connected()) as server:
                if sink.security == "starttls":
                    server.starttls(context=self._tls())
                if sink.user is not None:
                    server.login(sink.user, self._password.reveal() if self._password else "")
                refused = server.send_message(mail_of(message, sink), sink.sender, list(sink.to))
                with suppress(smtplib.SMTPException, OSError):
                    server.quit()
        except smtplib.SMTPRecipientsRefused as error:
            raise NotTold(f"{self._where} takes mail for none of {', '.join(sorted(error.recipients))}.") from None
        except smtplib.SMTPAuthenticationError as error:
            raise NotTold(f"{self._where} refused the login of {sink.user} (SMTP {error.smtp_code}).") from None
        except smtplib.SMTPResponseException as error:
            raise NotTold(f"{self._where} refused it: SMTP {error.smtp_code} {_words(error.smtp_error)}.") from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise NotTold(f"Mail cannot be sent through {self._where}: {str(error).rstrip('.')}.") from None
        if refused:
            raise PartlyTold(f"{self._where} takes no mail for {', '.join(sorted(refused))}; the others got it.")

    def _connected(self) -> smtplib.SMTP:
        sink = self._sink
        if sink.security == "tls":
            return smtplib.SMTP_SSL(sink.host, sink.port, timeout=sink.timeout_s, context=self._tls())
        return smtplib.SMTP(sink.host, sink.port, timeout=sink.timeout_s)

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._sink.ca_file)

    @property
    def _where(self) -> str:
        return f"{self._sink.host}:{self._sink.port}"


def mail_of(message: Message, sink: EmailSink) -> EmailMessage:
    """The message as a mail."""
    mail = EmailMessage()
    mail["Subject"] = message.title
    mail["From"] = sink.sender
    mail["To"] = ", ".join(sink.to)
    mail["Date"] = format_datetime(localtime())
    mail["Message-ID"] = f"<{message.id}@{sink.sender.rpartition('@')[2].rstrip('>')}>"
    # RFC 3834: nobody on holiday is to answer.
    mail["Auto-Submitted"] = "auto-generated"
    if message.severity == "critical":
        mail["Importance"] = "high"
    mail.set_content("\n".join(message.lines) + "\n")
    return mail


def _words(said: bytes | str) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return " ".join(text.split())[:200]
