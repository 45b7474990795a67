"""How a log line looks. The event is a fixed phrase in the ledger's words, the values are fields."""

import logging
import sys
from typing import cast

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import Processor


def set_up_logging(log_format: str, *, level: str = "INFO") -> None:
    """Send this process's logs, structlog's and the standard library's, to standard error.

    log_format is "console" (for a person) or "json" (one object a line).
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=BoundLogger,
        cache_logger_on_first_use=True,
    )
    last: list[Processor] = [ProcessorFormatter.remove_processors_meta]
    if log_format == "json":
        last += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # The plain one: the default prints every local variable, addresses and passwords among them.
        plain = structlog.dev.plain_traceback
        last += [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
        ]
    handler = logging.StreamHandler()
    handler.setFormatter(ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("mail.log", "alembic", "waitress", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def log_for(name: str) -> BoundLogger:
    """Return the logger of a module: log_for(__name__)."""
    return cast(BoundLogger, structlog.get_logger(name))
