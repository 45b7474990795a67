"""/accounts/{id}: one account: how it does, how much went through it, and the form of its test."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Response

from web.account_cards import Card, card_of
from web.current import the_house
from web.forms import Filled
from web.page import Pages, show
from web.pages.accounts import SECTION, get

if TYPE_CHECKING:
    from web.pages.account_test import Result

pages = Pages("account")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPage:
    """One account, the form of its test, and the result where there is one."""

    card: Card
    form: Filled
    result: "Result | None"


@pages.get("/accounts/<id:account_id>")
def account(account_id: int) -> Response:
    """Show an account."""
    return show_account(account_id, Filled(values={}))


def show_account(
    account_id: int, form: Filled, *, result: "Result | None" = None, status: int = 200
) -> Response:
    """Return the account's page, with what came of a test where there was one. Raises NotFound."""
    house = the_house()
    found = get(account_id)
    with house.database.read() as tx:
        card = card_of(tx, found, house.clock.now())
    page = AccountPage(card=card, form=form, result=result)
    return show("account.html", status=status, page=page, section=SECTION)
