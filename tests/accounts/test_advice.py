import pytest

from accounts.advice import advice, not_tried, planned
from accounts.model import Security, Step
from accounts.presets import PRESETS, find
from tests.accounts.builders import an_account


def steps(*names, failed=None, detail="535 5.7.8 no"):
    done = [Step(step=name, ok=True, detail="250 OK", ms=1) for name in names]
    return done + ([Step(step=failed, ok=False, detail=detail, ms=1)] if failed else [])


def test_a_test_secures_before_or_after_the_greeting_as_the_account_says():
    starttls = planned(an_account(security=Security.STARTTLS), with_mail=False)
    tls = planned(an_account(security=Security.TLS), with_mail=False)
    none = planned(an_account(security=Security.NONE, username=None, password=None), with_mail=True)

    assert starttls == ["connect", "banner", "ehlo", "starttls", "tls", "ehlo", "auth"]
    assert tls == ["connect", "tls", "banner", "ehlo", "auth"]
    assert none == ["connect", "banner", "ehlo", "mail", "rcpt", "data", "content"]


def test_what_comes_after_the_step_that_failed_was_not_tried():
    plan = planned(an_account(), with_mail=True)
    secured = ["connect", "banner", "ehlo", "starttls", "tls", "ehlo"]

    assert not_tried(plan, steps(*secured, failed="auth")) == ["mail", "rcpt", "data", "content"]
    assert not_tried(plan, steps(failed="connect")) == plan[1:]
    assert not_tried(plan, steps(*plan)) == []


def test_a_connection_that_breaks_later_leaves_the_rest_untried():
    plan = planned(an_account(security=Security.NONE), with_mail=True)

    left = not_tried(plan, steps("connect", "banner", "ehlo", "auth", failed="connect"))

    assert left == ["mail", "rcpt", "data", "content"]


@pytest.mark.parametrize(
    ("step", "detail", "says"),
    [
        ("connect", "The host name mail.example.com can't be found (-2).", "Check the host"),
        ("connect", "mail.example.com port 587 did not answer within 10 seconds.", "firewall"),
        ("banner", "The server closed the connection.", "Port 465 wants TLS"),
        ("starttls", "The server does not offer STARTTLS.", "Choose TLS"),
        ("tls", "The server does not speak TLS on this port, STARTTLS may be right", "STARTTLS"),
        (
            "tls",
            "The server's certificate can't be trusted (Hostname mismatch)",
            "mail.example.com",
        ),
        ("tls", "The server's certificate can't be trusted (certificate has expired)", "renew"),
        ("auth", "535 5.7.8 Authentication failed", "app password"),
        ("auth", "454 4.7.0 Temporary authentication failure", "in a few minutes"),
        ("auth", "The server offers no way to sign in that we know", "Ask the provider"),
        ("mail", "553 5.7.1 Sender not owned", "news@example.com"),
        ("rcpt", "554 5.7.1 Relay access denied", "sign in"),
        ("content", "554 5.7.1 Spam", "words say why"),
    ],
)
def test_there_is_something_to_do_about_every_step(step, detail, says):
    failed = Step(step=step, ok=False, detail=detail, ms=1)

    assert says in advice(failed, an_account())


def test_a_server_that_lets_nobody_sign_in_in_clear_wants_to_be_secured():
    failed = Step(step="auth", ok=False, detail="The server offers no way to sign in", ms=1)

    assert "STARTTLS or TLS" in advice(failed, an_account(security=Security.NONE))


def test_presets_fill_in_the_server_and_nothing_that_is_anybody_s():
    assert {p.key for p in PRESETS} == {
        "gmail",
        "microsoft365",
        "ses",
        "mailgun",
        "postmark",
        "postfix",
    }
    assert find("gmail").port == 587
    assert find("nobody") is None
    assert find(None) is None
