"""The configuration as commands and processes take it: one sentence if it cannot be used."""

import sys
from typing import NoReturn

from optimizer_config.credentials import Secret, admin_token
from optimizer_config.errors import ConfigError
from optimizer_config.load import load
from optimizer_config.model import Config
from optimizer_service.exit_codes import EXIT_CONFIG


def configuration(path: str | None) -> Config:
    """The configuration, or the end of the process with one sentence and exit code 78."""
    try:
        config = load(path)
    except ConfigError as error:
        refuse(error)
    for warning in config.warnings:
        print(f"optimizer: warning: {warning}", file=sys.stderr)
    return config


def token() -> Secret | None:
    """The token of the admin port, or the end of the process with one sentence and exit code 78."""
    try:
        return admin_token()
    except ConfigError as error:
        refuse(error)


def refuse(error: ConfigError) -> NoReturn:
    """End the process with the sentence and exit code 78."""
    print(f"optimizer: {error}", file=sys.stderr)
    raise SystemExit(EXIT_CONFIG) from None
