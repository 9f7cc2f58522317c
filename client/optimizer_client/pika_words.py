"""What pika says of a failure, in words."""

import pika.exceptions  # type: ignore[import-untyped]

from optimizer_wire.tls import tls_trouble


def words(error: BaseException, *, encrypted: bool = False) -> str:
    """What pika says of a failure, as the end of a sentence; `encrypted`: while a connection with TLS was made."""
    if trouble := tls_trouble(error, encrypted=encrypted):
        return trouble
    match error:
        case pika.exceptions.ProbableAuthenticationError():
            return "RabbitMQ does not know the user, or not with this password."
        case pika.exceptions.ProbableAccessDeniedError():
            return "the user may not use this virtual host, or it does not exist."
        case pika.exceptions.IncompatibleProtocolError():
            # pika takes a connection that breaks before the first frame for one that speaks something else.
            broke = "StreamLostError" in str(error)
            return "the connection broke at once." if broke else "what listens there does not speak AMQP 0-9-1."
    inner = getattr(error, "exceptions", None) or [getattr(error, "exception", None) or next(iter(error.args), None)]
    if isinstance(inner[-1], BaseException):
        return words(inner[-1], encrypted=encrypted)
    text = getattr(error, "reply_text", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text if text.endswith(".") else f"{text}."
