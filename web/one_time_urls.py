"""The addresses of links that work once: always under the public address, whatever Host a request names."""

from identity.one_time_links import Purpose
from web.current import the_house

_PATHS = {Purpose.INVITATION: "join", Purpose.PASSWORD: "reset"}


def address(purpose: Purpose, secret: str) -> str:
    """Return the link to hand over: https://…/join/SECRET, or …/reset/SECRET."""
    return f"{the_house().public_url}/{_PATHS[purpose]}/{secret}"
