"""A house without threads, and who knocks at its doors: the same as the web room's tests have."""

from tests.web.conftest import client, house, stranger

__all__ = ["client", "house", "stranger"]
