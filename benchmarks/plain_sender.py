"""What sending is compared with: the standard library's way. EmailMessage and smtplib, one connection, one by one."""

import smtplib
import time
from collections.abc import Callable, Mapping
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

from jinja2 import Environment

from benchmarks import corpus
from campaigns.model import Content
from campaigns.render import RecipientView
from foundation.clock import SystemClock

UNSUBSCRIBE = "https://news.example.com/u/dGhlcmUgaXMgbm90aGluZyBpbiBoZXJl.c2lnbmVk"
MESSAGE_ID = "<1.17.5f3a9c0e8b7d6a4c2e10@sender.example>"


def send(port: int, messages: int) -> dict[str, float]:
    """Send so many messages to a server on the loopback; return seconds, and cpu_seconds of this process."""
    render = _renderer()
    begun, cpu = time.perf_counter(), time.process_time()
    with smtplib.SMTP("127.0.0.1", port, local_hostname="localhost", timeout=60) as server:
        for person in corpus.people(messages):
            server.sendmail(corpus.SENDER, [person.email], email_message(person, render(person)))
    return {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - cpu}


def email_message(person: RecipientView, content: Content) -> bytes:
    """Write an email as most Python programs do."""
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(corpus.SENDER_NAME, addr_spec=corpus.SENDER)
    message["To"] = Address(person.name, addr_spec=person.email)
    message["Subject"] = content.subject
    message["Date"] = format_datetime(SystemClock().now())
    message["Message-ID"] = MESSAGE_ID
    message["List-Unsubscribe"] = f"<{UNSUBSCRIBE}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(content.text)
    message.add_alternative(content.html, subtype="html")
    return bytes(message)


def _renderer() -> Callable[[RecipientView], Content]:
    """Compile the templates once, as a good program does."""
    plain, html = Environment(), Environment(autoescape=True)  # noqa: S701 - no HTML in the plain ones
    subject, text = plain.from_string(corpus.SUBJECT), plain.from_string(corpus.TEXT)
    page = html.from_string(corpus.HTML)

    def render(person: RecipientView) -> Content:
        names: Mapping[str, Any] = {
            "recipient": person,
            "name": person.name,
            "email": person.email,
            "unsubscribe_url": UNSUBSCRIBE,
        }
        return Content(
            subject=subject.render(names), html=page.render(names), text=text.render(names)
        )

    return render
