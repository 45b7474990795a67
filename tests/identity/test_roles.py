import pytest

from foundation.errors import Forbidden
from identity.model import Principal, Role
from identity.roles import may, require


@pytest.mark.parametrize(
    ("has", "needs", "answer"),
    [
        (Role.VIEWER, Role.VIEWER, True),
        (Role.VIEWER, Role.EDITOR, False),
        (Role.VIEWER, Role.ADMIN, False),
        (Role.EDITOR, Role.VIEWER, True),
        (Role.EDITOR, Role.EDITOR, True),
        (Role.EDITOR, Role.ADMIN, False),
        (Role.ADMIN, Role.VIEWER, True),
        (Role.ADMIN, Role.EDITOR, True),
        (Role.ADMIN, Role.ADMIN, True),
    ],
)
def test_each_role_may_do_what_the_one_before_it_may(has, needs, answer):
    assert may(Principal(name="token:1", role=has), needs) is answer


def test_who_may_is_let_through():
    require(Principal(name="bootstrap", role=Role.ADMIN), Role.EDITOR)


def test_who_may_not_is_told_what_it_needs():
    principal = Principal(name="token:1", role=Role.VIEWER, label='the token "ci"')

    with pytest.raises(Forbidden) as caught:
        require(principal, Role.EDITOR)

    assert caught.value.message == 'This needs the role editor; the token "ci" has viewer.'
