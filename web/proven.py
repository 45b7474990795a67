"""Who is signed in proves it once more, before what nobody may do who only found a browser open."""

from foundation.errors import Conflict, Invalid
from identity import second_factor, tries, users
from identity.model import User
from identity.passwords import verify
from identity.tries import Subject
from storage.database import Tx
from web import forms, sessions
from web.current import the_house

PASSWORD, CODE = "current", "code"
"""The fields of the forms that ask for it."""


def the_user() -> User:
    """Return whose session this is. Raises Conflict where it is nobody's: a token, the link of the first start."""
    session = sessions.current()
    if session is None or session.user_id is None:
        raise Conflict("Only a user who is signed in has these. Nothing was changed.")
    with the_house().database.read() as tx:
        return users.get(tx, session.user_id)


def password_of(user: User) -> Subject:
    """Check the password that was typed, against guessing too; return who tried, to be forgotten in a transaction.

    Raises Invalid (current), and TooMany where too many were wrong.
    """
    house = the_house()
    who = tries.of_user(house.key, user.id)
    with house.database.write(durable=False) as tx:
        tries.begin(tx, who, house.clock.unchecked())
    with house.database.read() as tx:
        _, password_hash = users.find_to_sign_in(tx, user.email)
    if not verify(password_hash, forms.text(PASSWORD)):
        raise Invalid.field(PASSWORD, "is not the password that you have now")
    return who


def code_of(tx: Tx, user: User) -> None:
    """Use up the code that was typed. Raises Invalid (code) where it is wrong."""
    house = the_house()
    now = house.clock.unchecked()
    second_factor.require(tx, user.id, forms.text(CODE), key=house.key, now=now)
