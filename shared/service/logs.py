"""Logs of every process of the cluster: events with keys, a line each, without secrets, in files of bounded size.

JSON, or for people when standard error is a terminal. What libraries log, and what ends a process, is told alike.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import msgspec
import structlog

from shared.domain.masking import Mask, secrets

LogLevel = Literal["debug", "info", "warning", "error"]
FILE = "MAKIMA_LOG_FILE"
"""Names the file that standard error is, for a process whose supervisor leads it to one."""
own_file = os.environ.pop(FILE, None)
"""This process's own; what it starts has others."""
KEPT_FILES = 3
_STANDARD = (1, 2)
_FIRST = ("timestamp", "level", "event")
_encode = msgspec.json.Encoder(enc_hook=str).encode


class Rotating:
    """Standard error that is a file: at `most_bytes` it is put aside as FILE.1, and what was FILE.1 as FILE.2.

    What can't be put aside, because the disk is full, grows on.
    """

    def __init__(self, file: Path, most_bytes: int) -> None:
        self._file = file
        self._most_bytes = most_bytes
        self._aside = RotatingFileHandler(file, backupCount=KEPT_FILES, delay=True)

    def write(self, text: str) -> int:
        """Write it, into a new file when the old one is full."""
        with suppress(OSError):
            if os.fstat(sys.stderr.fileno()).st_size >= self._most_bytes:
                self._aside.doRollover()
                lead_to(self._file)
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Write what waits."""
        sys.stderr.flush()


def lead_to(file: Path) -> None:
    """Have standard output and error be this file, from now on. Raises OSError."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for standard in _STANDARD:
        os.dup2(descriptor, standard)
    os.close(descriptor)


def configure_logs(level: LogLevel = "info", most_bytes: int = 20 << 20) -> None:
    """From now on log what is at least of this level."""
    least = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *(_for_people() if sys.stderr.isatty() else (_Rendered(),)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(_stream(most_bytes)),
    )
    logging.basicConfig(handlers=[_Foreign()], level=max(least, logging.WARNING), force=True)
    logging.captureWarnings(True)
    sys.excepthook = _told


def _stream(most_bytes: int) -> Any:  # noqa: ANN401 - what structlog's factory takes
    return Rotating(Path(own_file), most_bytes) if own_file else sys.stderr


class _Rendered:
    """An event as a line of JSON; ids and times need no words of their own."""

    def __init__(self) -> None:
        self._mask = Mask(secrets(os.environ))

    def __call__(self, _logger: object, _method: str, event: structlog.typing.EventDict) -> str:
        first = {key: event.pop(key) for key in _FIRST}
        return self._mask(_encode({**first, **event}).decode())


def _for_people() -> tuple[structlog.typing.Processor, ...]:
    mask = Mask(secrets(os.environ))

    def masked(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return mask.struct({key: str(value) if key != "event" else value for key, value in event.items()})

    return masked, structlog.dev.ConsoleRenderer()


class _Foreign(logging.Handler):
    """Hands on what libraries log by the standard library."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log it as an event of its logger's."""
        log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


def _told(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What ended the process."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        structlog.get_logger().error("process broke", exc_info=(kind, error, trace))
