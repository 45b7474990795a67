"""What each role may do."""

from foundation.errors import Forbidden
from identity.model import Principal, Role

_RANK = {role: rank for rank, role in enumerate(Role)}


def may(principal: Principal, role: Role) -> bool:
    """Say whether somebody may do what needs this role."""
    return _RANK[principal.role] >= _RANK[role]


def require(principal: Principal, role: Role) -> None:
    """Raise Forbidden unless somebody may do what needs this role."""
    if not may(principal, role):
        raise Forbidden(
            f"This needs the role {role}; {principal.label or principal.name} has {principal.role}."
        )
