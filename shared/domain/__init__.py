"""The rules of makima as pure functions and tables: no IO, no clock, no randomness, nothing of the project imported."""
