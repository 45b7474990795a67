"""/api/invitations: links by which people join. Nothing is sent: the link is in the answer, this once."""

from identity import one_time_links
from identity.model import Role
from identity.one_time_links import Link, Purpose
from storage.database import Tx
from web import audited
from web.current import caller_in_words, the_house
from web.fields import Answer, Body, ById, Email, Id, Instant, rfc3339
from web.one_time_urls import address
from web.openapi import Resource
from web.paging import Page, next_cursor

resource = Resource("invitations", "Links by which people join")


class NewInvitation(Body):
    """Who is to join, and as what."""

    email: Email
    role: Role = Role.VIEWER


class InvitationAnswer(Answer):
    """An open invitation, without its link."""

    id: Id
    email: str
    role: Role
    made_by: str
    created_at: Instant
    expires_at: Instant


class NewInvitationAnswer(InvitationAnswer):
    """An invitation that was just made: the only time that its link is shown."""

    link: str


class InvitationList(Answer):
    """A page of open invitations."""

    items: list[InvitationAnswer]
    next_cursor: str | None


@resource.get("/api/invitations", InvitationList, role=Role.ADMIN)
def list_invitations(query: Page) -> InvitationList:
    """List the invitations that nobody has used yet and that are not over."""
    house = the_house()
    with house.database.read() as tx:
        found = one_time_links.invitations(
            tx, now=house.clock.unchecked(), after=query.key, limit=query.limit + 1
        )
    return InvitationList(
        items=[InvitationAnswer.model_validate(link) for link in found[: query.limit]],
        next_cursor=next_cursor(found, limit=query.limit, key=lambda link: link.id),
    )


@resource.post("/api/invitations", NewInvitationAnswer, status=201, role=Role.ADMIN)
def invite(body: NewInvitation) -> NewInvitationAnswer:
    """Make a link by which somebody joins: once, within seven days. An earlier one for the address ends."""
    with the_house().database.write(durable=True) as tx:
        link, secret = make(tx, body)
    told = InvitationAnswer.model_validate(link)
    return NewInvitationAnswer(**dict(told), link=address(Purpose.INVITATION, secret))


@resource.delete("/api/invitations/<id:id>", role=Role.ADMIN)
def revoke_invitation(path: ById) -> None:
    """Make an invitation worthless."""
    with the_house().database.write(durable=True) as tx:
        revoke(tx, path.id)


def make(tx: Tx, body: NewInvitation) -> tuple[Link, str]:
    """Make an invitation and note it; return it and its secret. Raises Invalid, Conflict."""
    now = the_house().clock.unchecked()
    link, secret = one_time_links.invite(
        tx, body.email, body.role, made_by=caller_in_words(), now=now
    )
    after = {"role": str(link.role), "expires_at": rfc3339(link.expires_at)}
    audited.note(tx, "invite", f"invitation:{link.id}", label=link.email, after=after)
    return link, secret


def revoke(tx: Tx, link_id: int) -> Link:
    """Make an invitation worthless, and note it. Raises NotFound."""
    link = one_time_links.revoke(tx, link_id)
    audited.note(tx, "revoke", f"invitation:{link_id}", label=link.email)
    return link
