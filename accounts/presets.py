"""What to enter for mail providers that many people use: the server, and what to know before signing in to it."""

from dataclasses import dataclass

from accounts.model import Security


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A provider's server. says: a sentence or two on what it wants; nothing here is secret, or anybody's."""

    key: str
    name: str
    host: str
    port: int
    security: Security
    says: str


PRESETS = (
    Preset(
        key="gmail",
        name="Gmail",
        host="smtp.gmail.com",
        port=587,
        security=Security.STARTTLS,
        says=(
            "Gmail takes an app password, not the one you sign in with: turn on 2-step verification, then make one"
            " at myaccount.google.com/apppasswords. It sends about 500 e-mails a day (2,000 with Workspace), so set"
            " a limit below."
        ),
    ),
    Preset(
        key="microsoft365",
        name="Microsoft 365",
        host="smtp.office365.com",
        port=587,
        security=Security.STARTTLS,
        says=(
            "An administrator must allow authenticated SMTP for the mailbox. Microsoft is ending sign-in by password"
            " for it, so ask them whether it will last."
        ),
    ),
    Preset(
        key="ses",
        name="Amazon SES",
        host="email-smtp.eu-central-1.amazonaws.com",
        port=587,
        security=Security.STARTTLS,
        says=(
            "Put your region in the host. User name and password are the SMTP credentials that the SES console makes,"
            " not access keys. A new SES account reaches verified addresses only."
        ),
    ),
    Preset(
        key="mailgun",
        name="Mailgun",
        host="smtp.mailgun.org",
        port=587,
        security=Security.STARTTLS,
        says=(
            "For a domain in the EU the host is smtp.eu.mailgun.org. User name and password are the SMTP credentials"
            " of the sending domain; the API key does not work here."
        ),
    ),
    Preset(
        key="postmark",
        name="Postmark",
        host="smtp-broadcasts.postmarkapp.com",
        port=587,
        security=Security.STARTTLS,
        says=(
            "Make an SMTP token in a broadcast stream: its access key is the user name, its secret key the password."
        ),
    ),
    Preset(
        key="postfix",
        name="Local Postfix",
        host="127.0.0.1",
        port=25,
        security=Security.NONE,
        says="A mail server on this machine takes mail without signing in: leave user name and password empty.",
    ),
)


def find(key: str | None) -> Preset | None:
    """Return the preset of that key."""
    return next((preset for preset in PRESETS if preset.key == key), None)
