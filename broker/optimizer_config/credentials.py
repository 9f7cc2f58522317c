"""Where secrets are found: keys of backends, the token of the admin port, URLs with passwords.

A key or token is only ever shown by calling `reveal()`.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from optimizer_config.alert_settings import Kept
from optimizer_config.errors import ConfigError
from optimizer_config.model import Backend

ADMIN_TOKEN = "OPTIMIZER_ADMIN_TOKEN"  # noqa: S105 - the name of a variable
_SHORTEST_TOKEN = 16


class Secret:
    """Text that does not show itself: not in a message, a log, a traceback or a pickle."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        raise TypeError("A Secret cannot be pickled or copied.")


def api_key(backend: Backend, environ: Mapping[str, str] | None = None) -> Secret | None:
    """The backend's key, or None if there is none.

    Looked for in the environment variable `api_key_env`, in the file that `<api_key_env>_FILE` or `api_key_file` names,
    and in `$CREDENTIALS_DIRECTORY/<backend>`, where systemd puts credentials.

    :raises ConfigError: if a file that is named cannot be read, or what is found cannot be a key.
    """
    environ = os.environ if environ is None else environ
    if variable := backend.api_key_env:
        if text := environ.get(variable, "").strip():
            return _checked(text, variable)
        if path := environ.get(f"{variable}_FILE"):
            return _from_file(path, f"{variable}_FILE")
    if backend.api_key_file:
        return _from_file(backend.api_key_file, f"backends.{backend.name}.api_key_file")
    found = credential(backend.name, environ)
    return None if found is None else _checked(found, f"the systemd credential {backend.name}")


def admin_token(environ: Mapping[str, str] | None = None) -> Secret | None:
    """The token of the admin port, or None: `OPTIMIZER_ADMIN_TOKEN`, `…_FILE`, the systemd credential `admin_token`.

    :raises ConfigError: if what is found cannot be a token, or could be guessed.
    """
    environ = os.environ if environ is None else environ
    text, place = environ.get(ADMIN_TOKEN, "").strip(), ADMIN_TOKEN
    if not text and (path := environ.get(f"{ADMIN_TOKEN}_FILE")):
        text, place = read_secret_file(path, f"{ADMIN_TOKEN}_FILE"), f"{ADMIN_TOKEN}_FILE"
    if not text:
        text, place = credential("admin_token", environ) or "", "the systemd credential admin_token"
    if not text:
        return None
    if len(text) < _SHORTEST_TOKEN:
        raise ConfigError(f"{place} must have at least {_SHORTEST_TOKEN} characters, so that nobody can guess it.")
    return _checked(text, place)


def kept_secret(kept: Kept, place: str, environ: Mapping[str, str] | None = None) -> Secret | None:
    """The secret that is kept at this place, or None if there is none: a variable, a file, or a systemd credential.

    It is one line of printable text; unlike a key it may hold spaces.

    :raises ConfigError: if a variable or file that is named is not there, or what is found is no such line.
    """
    environ = os.environ if environ is None else environ
    if kept.env and not environ.get(kept.env, "").strip():
        raise ConfigError(f"{place}: the environment variable {kept.env} is not set.")
    text = kept.text or (kept.env and environ[kept.env].strip())
    if not text and kept.file:
        text = read_secret_file(kept.file, place)
    text = text or credential(kept.credential, environ)
    if not text:
        return None
    if not text.isprintable():
        raise ConfigError(f"{place} does not hold a usable secret: it must be one line of printable text.")
    return Secret(text)


def credential(name: str, environ: Mapping[str, str]) -> str | None:
    """A credential that systemd hands to this process (`LoadCredential=`), or None.

    :raises ConfigError: if it is there and cannot be read.
    """
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder or not (path := Path(folder) / name).is_file():
        return None
    return read_secret_file(str(path), "CREDENTIALS_DIRECTORY")


def _from_file(path: str, place: str) -> Secret:
    return _checked(read_secret_file(path, place), f"{path} ({place})")


def read_secret_file(path: str, place: str) -> str:
    """The text of a file that holds a secret, without the white space around it.

    :raises ConfigError: if it cannot be read or is empty.
    """
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"{place}: the file {path} cannot be read: {reason}.") from None
    if not text:
        raise ConfigError(f"{place}: the file {path} is empty.")
    return text


def _checked(text: str, place: str) -> Secret:
    """A key travels in a header; whatever would break out of one is not a key."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError(f"{place} does not hold a usable key: it must be one line of printable ASCII without spaces.")
    return Secret(text)
