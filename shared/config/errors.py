"""What is wrong with how makima is set up here."""


class ConfigError(ValueError):
    """A setting that can't be: its key, its value, and what is allowed. Or a home that can't be used, with the fix."""
