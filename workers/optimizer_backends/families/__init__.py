"""The protocol families, one file each."""

from optimizer_backends.families.anthropic import AnthropicFamily
from optimizer_backends.families.openai import OpenAIFamily
from optimizer_backends.family import Family
from optimizer_config.model import Api

FAMILIES: dict[Api, Family] = {"openai": OpenAIFamily(), "anthropic": AnthropicFamily()}
