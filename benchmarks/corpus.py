"""The mail that is measured: personalised, two alternatives, 7.5 KB, with a condition, a loop, links and non-ASCII."""

from collections.abc import Iterator
from typing import Any

from campaigns.model import InDoubtRule, Snapshot
from campaigns.render import RecipientView

SENDER = "workshop@sender.example"
SENDER_NAME = "Fahrradwerkstatt Grün & Söhne"

SUBJECT = (
    "{{ name }}, three rides around {{ recipient.attributes.town }} – and your bike’s check-up"
)

_STORIES = (
    (
        "chain",
        "What a chain tells you",
        "A chain does not break, it grows. Every link wears by a hair, and after two thousand kilometres a hundred hairs"
        " are half a tooth. We hang yours on the gauge for nothing – and tell you honestly whether it lasts the summer."
        " Most do. The ones that don’t were oiled too much, not too little: dust loves a wet chain.",
    ),
    (
        "dynamo",
        "Light from the front wheel",
        "Käthe has built hub dynamos into forty wheels since the clocks went back, and says the same to everybody: it is"
        " not the lamp, it is the cable. So we crimp, we shrink & we test it under the tap. If it goes dark within"
        " five years, bring it back; so far three of you have, and one of these had met a tram.",
    ),
    (
        "saddle",
        "The saddle that fits nobody",
        "There is one in every cellar: too soft, too wide, and very dear. Bring it along & leave it here – somebody always"
        " finds that it was made for them.",
    ),
    (
        "ferry",
        "The long way by the ferry",
        "Sunday’s ride leaves at nine from the yard and is back by five. It is flat, it is slow, and it has two cafés"
        " whose names we promised not to print. The ferry takes twelve bicycles at once; so please write to us, and we"
        " count you in. Who comes with children comes in front, and decides how fast we are.",
    ),
)

_TEXT_STORIES = "\n".join(
    f"{title}\n{body}\nMore: https://sender.example/stories/{slug}?r={{{{ recipient.attributes.mark }}}}\n"
    for slug, title, body in _STORIES
)
_HTML_STORIES = "\n".join(
    '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"><tr>'
    '<td style="padding:18px 0;border-top:1px solid #d8d4cc;font-size:16px;line-height:25px;color:#2d2a26">\n'
    f'<img src="https://sender.example/pictures/{slug}.jpg" width="560" height="280" alt="{title}" style="display:block">\n'
    f'<h2 style="margin:14px 0 6px;font-size:20px;line-height:28px">{title}</h2>\n'
    f'<p style="margin:0 0 14px">{body.replace("&", "&amp;")}</p>\n'
    f'<a class="go" href="https://sender.example/stories/{slug}?r={{{{ recipient.attributes.mark }}}}">'
    "Read on, {{ name }}</a></td></tr></table>"
    for slug, title, body in _STORIES
)

TEXT = f"""\
Dear {{{{ name }}}},

{{% if recipient.attributes.member %}}as a member since {{{{ recipient.attributes.since }}}} you pay nothing for this year’s check-up.
{{% else %}}this year’s check-up is 29 € – and 0 € for members, near {{{{ recipient.attributes.town }}}} too.
{{% endif %}}
Rides that leave close to you:
{{% for ride in recipient.attributes.rides %}}- {{{{ ride.title }}}}, {{{{ ride.km }}}} km
  https://sender.example/rides/{{{{ ride.id }}}}?r={{{{ recipient.attributes.mark }}}}
{{% endfor %}}
{_TEXT_STORIES}
This went to {{{{ email }}}}. No more of these: {{{{ unsubscribe_url }}}}
"""

HTML = f"""\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Workshop letter</title>
<style>body{{margin:0;background:#efece6;font-family:Helvetica,Arial,sans-serif}}.page{{max-width:608px;margin:0 auto;padding:24px;background:#fff}}.go{{display:inline-block;padding:10px 18px;background:#276749;color:#fff;text-decoration:none}}</style>
</head><body><div class="page">
<h1>Dear {{{{ name }}}},</h1>
{{% if recipient.attributes.member %}}<p>as a member since {{{{ recipient.attributes.since }}}} you pay nothing for this year’s check-up.</p>
{{% else %}}<p>this year’s check-up is 29 € – and 0 € for members, near {{{{ recipient.attributes.town }}}} too.</p>
{{% endif %}}<p>Rides that leave close to you:</p>
<ul>{{% for ride in recipient.attributes.rides %}}
<li><a href="https://sender.example/rides/{{{{ ride.id }}}}?r={{{{ recipient.attributes.mark }}}}">{{{{ ride.title }}}}</a>, {{{{ ride.km }}}} km</li>{{% endfor %}}
</ul>
{_HTML_STORIES}
<p style="font-size:12px">This went to {{{{ email }}}}. <a href="{{{{ unsubscribe_url }}}}">No more of these</a></p>
</div></body></html>
"""

_NAMES = ("Ana", "Björn", "Chloé", "Dilara", "Emil", "Françoise", "Grete", "Håkon", "Ivo", "Łucja")
_TOWNS = ("Köln", "Bergen", "Gdańsk", "Lyon", "Graz", "Porto", "Leuven")
_RIDES = (
    {"id": 11, "title": "Along the old canal", "km": 38},
    {"id": 12, "title": "Mills & meadows", "km": 52},
    {"id": 13, "title": "Über die drei Hügel", "km": 74},
    {"id": 14, "title": "To the lighthouse", "km": 61},
    {"id": 15, "title": "Orchards in bloom", "km": 29},
)


def address(number: int) -> str:
    """Return the address of this recipient."""
    return f"rider{number}@example{number % 40}.com"


def person(number: int) -> RecipientView:
    """Return this recipient: always the same one for the same number."""
    attributes: dict[str, Any] = {
        "town": _TOWNS[number % len(_TOWNS)],
        "since": 2009 + number % 16,
        "member": number % 5 == 0,
        "mark": f"{number * 2654435761 % 2**32:08x}{number:08x}",
        "rides": _RIDES[number % 3 : number % 3 + 3],
    }
    name = _NAMES[number % len(_NAMES)]
    return RecipientView(email=address(number), name=name, attributes=attributes)


def people(count: int) -> Iterator[RecipientView]:
    """Yield the first so many recipients."""
    return (person(number) for number in range(count))


def snapshot(
    *, audience_ids: tuple[int, ...] = (1,), account_ids: tuple[int, ...] = (1,)
) -> Snapshot:
    """Return the campaign as a run has frozen it."""
    return Snapshot(
        campaign_id=1,
        name="Workshop letter",
        subject=SUBJECT,
        html=HTML,
        text=TEXT,
        audience_ids=audience_ids,
        account_ids=account_ids,
        from_name=SENDER_NAME,
        reply_to=None,
        in_doubt=InDoubtRule.HOLD,
    )
