from assembly.invented import HTML, SUBJECT, people
from campaigns.model import InDoubtRule, Snapshot
from campaigns.render import RecipientView, compile_content
from mail.address import normalise
from tests.builders import NOON


def test_each_of_the_invented_people_has_an_address_of_their_own_that_nobody_can_have() -> None:
    addresses = [normalise(person.email) for person in people(1000)]

    assert len({address.key for address in addresses}) == 1000
    assert {address.domain for address in addresses} == {
        "example.com",
        "example.org",
        "example.net",
    }


def test_the_invented_people_are_the_same_every_time() -> None:
    assert people(30) == people(30)


def test_the_letter_lacks_nothing_for_any_of_them() -> None:
    snapshot = Snapshot(
        campaign_id=1,
        name="The letter",
        subject=SUBJECT,
        html=HTML,
        text=None,
        audience_ids=(1,),
        account_ids=(1,),
        from_name=None,
        reply_to=None,
        in_doubt=InDoubtRule.HOLD,
    )
    letter = compile_content(snapshot)

    for person in people(200):
        view = RecipientView(email=person.email, name=person.name, attributes=person.attributes)
        content = letter.render(view, NOON, "https://example.com/u/x")
        assert letter.lacking(view) == ()
        assert content.subject.startswith(person.attributes["first"])
        assert person.attributes["city"] in content.text
