"""Settings, read once at a process's start."""

from shared.config.errors import ConfigError
from shared.config.reading import load, unread
from shared.config.settings import Settings

__all__ = ["ConfigError", "Settings", "load", "unread"]
