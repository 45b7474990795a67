"""A browser without a screen: signed in, sending forms as pages make them."""

import re
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from assembly import Sendonce
from identity import users
from identity.model import Role
from identity.tables import users as users_table
from tests.house import app_of

PASSWORD = "a long enough password"

_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
_KEY = re.compile(r'name="idempotency_key" value="([^"]+)"')


class BrowserClient:
    """Opens pages and sends forms; follows nothing by itself."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def get(self, path: str, **kwargs: Any) -> TestResponse:
        return self.client.get(path, headers={"Accept": "text/html"}, **kwargs)

    def token(self) -> str:
        """Return the token that forms of this session carry."""
        pages = (self.get(path).text for path in ("/automation", "/login"))
        found = next(filter(None, map(_TOKEN.search, pages)), None)
        assert found is not None
        return found[1]

    def key_in(self, path: str) -> str:
        """Return the key of the first form on a page: sent twice, it acts once."""
        found = _KEY.search(self.get(path).text)
        assert found is not None
        return found[1]

    def post_form(
        self, path: str, fields: dict[str, Any] | None = None, **kwargs: Any
    ) -> TestResponse:
        """Send a form as a page of this session has it."""
        data = {"csrf_token": self.token()} | (fields or {})
        return self.client.post(path, data=data, headers={"Accept": "text/html"}, **kwargs)

    def post_raw(self, path: str, fields: dict[str, Any], **headers: str) -> TestResponse:
        """Send just these fields."""
        return self.client.post(path, data=fields, headers={"Accept": "text/html"} | headers)


def signed_in(house: Sendonce, *, role: Role = Role.ADMIN) -> BrowserClient:
    """Return a browser in which a new user of this role has signed in."""
    email = f"{role}@example.com"
    with house.database.write(durable=False) as tx:
        user = users.create(tx, email, PASSWORD, Role.ADMIN, house.clock.now())
        # The first user is an admin; most tests want to be alone all the same.
        tx.execute(update(users_table).where(users_table.c.id == user.id).values(role=role))
    client = BrowserClient(app_of(house).test_client())
    answer = client.post_form("/login", {"email": email, "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    return client


def a_stranger(house: Sendonce) -> BrowserClient:
    """Return a browser in which nobody has signed in."""
    return BrowserClient(app_of(house).test_client())
