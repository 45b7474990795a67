"""/audiences/{id}: the people on one list, with the attributes that somebody wants to see."""

import re
from urllib.parse import unquote_plus

from flask.testing import FlaskClient

from assembly import Sendonce
from tests.web.browser_client import signed_in
from tests.web.given import an_audience

ABOUT = {"city": "Cork", "plan": "pro", "born": 1990, "shoe": 43}


def heads_of(page: str) -> list[str]:
    table = page[page.index("<thead") : page.index("</thead>")]
    return re.findall(r'columnheader">([^<]+)<', table)


def test_the_attributes_with_a_column_are_chosen_by_the_viewer(
    house: Sendonce, client: FlaskClient
) -> None:
    people = [{"email": f"p{n}@example.com", "attributes": ABOUT} for n in range(60)]
    an_audience(client, recipients=people)
    anna = signed_in(house)

    by_itself = anna.get("/audiences/1").text
    chosen = anna.get("/audiences/1?columns=&columns=shoe&columns=never").text
    none = anna.get("/audiences/1?columns=").text

    assert heads_of(by_itself) == ["E-mail", "Name", "born", "city", "plan", "More attributes"]
    assert heads_of(chosen) == ["E-mail", "Name", "shoe", "never", "More attributes"]
    assert heads_of(none) == ["E-mail", "Name", "More attributes"]
    following = re.search(r'href="([^"]+)">Next 50', chosen)
    assert following is not None
    assert "columns=&columns=shoe&columns=never" in unquote_plus(following[1].replace("&amp;", "&"))
    assert '<input type="hidden" name="columns" value="shoe">' in chosen
    asked = "&".join(f"columns={n}" for n in range(9))
    assert anna.get(f"/audiences/1?{asked}").status_code == 422
