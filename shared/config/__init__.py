"""Settings, read once at a process's start."""

from shared.config.settings import ConfigError, Settings, load, unread

__all__ = ["ConfigError", "Settings", "load", "unread"]
