"""A house without threads, and who knocks at its doors."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from tests.house import a_house, app_of, bearer


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Sendonce]:
    with a_house(tmp_path) as house:
        yield house


@pytest.fixture
def client(house: Sendonce) -> FlaskClient:
    """Sends the bootstrap token with every request."""
    client = app_of(house).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = bearer()["Authorization"]
    return client


@pytest.fixture
def stranger(house: Sendonce) -> FlaskClient:
    """Sends no token."""
    return app_of(house).test_client()
