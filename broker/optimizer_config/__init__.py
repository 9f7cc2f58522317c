"""What is configured: optimizer.toml, the environment and the built-in catalogue of backends, typed and validated.

Pure apart from reading files.
"""

from optimizer_config.credentials import Secret, api_key
from optimizer_config.errors import ConfigError
from optimizer_config.load import load
from optimizer_config.model import Backend, CacheSettings, Config, Limit
from optimizer_wire.urls import masked_url

__all__ = ["Backend", "CacheSettings", "Config", "ConfigError", "Limit", "Secret", "api_key", "load", "masked_url"]
