"""How a log line looks. The event is a fixed phrase in the ledger's words, the values are fields."""

import logging
import re
import sys
from typing import cast

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import EventDict, Processor

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


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
            _on_one_line,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain),
        ]
    handler = logging.StreamHandler()
    handler.setFormatter(ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("mail.log", "alembic", "waitress", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _on_one_line(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Write controls out: a library's event may hold a stranger's words, which must not pass for a line of ours."""
    said = str(event.get("event", ""))
    event["event"] = said if said.isprintable() else _CONTROL.sub(_written_out, said)
    return event


def _written_out(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def log_for(name: str) -> BoundLogger:
    """Return the logger of a module: log_for(__name__)."""
    return cast(BoundLogger, structlog.get_logger(name))
