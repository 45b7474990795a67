from accounts.endpoint import endpoint_of
from accounts.model import Kind, Security
from tests.accounts.builders import an_account


def test_an_smtp_account_is_where_it_says():
    endpoint = endpoint_of(an_account(security=Security.TLS, port=465), sandbox_port=2525)

    assert (endpoint.host, endpoint.port) == ("mail.example.com", 465)
    assert endpoint.security == "tls"
    assert (endpoint.username, endpoint.password) == ("news", "correct horse")
    assert endpoint.verify_tls
    assert endpoint.pipelining


def test_the_sandbox_account_is_where_its_server_listens_now():
    sandbox = an_account(
        kind=Kind.SANDBOX, host="127.0.0.1", port=0, security=Security.NONE, username=None
    )

    endpoint = endpoint_of(sandbox, sandbox_port=2525)

    assert (endpoint.host, endpoint.port, endpoint.security) == ("127.0.0.1", 2525, "none")
    assert (endpoint.username, endpoint.password) == (None, None)


def test_without_a_password_nobody_signs_in():
    endpoint = endpoint_of(an_account(password=None), sandbox_port=2525)

    assert (endpoint.username, endpoint.password) == (None, None)


def test_pipelining_that_is_off_stays_off():
    assert not endpoint_of(an_account(pipelining=False), sandbox_port=2525).pipelining
