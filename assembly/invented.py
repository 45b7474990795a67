"""The people and the text of the sample letter: all invented; the domains are reserved for examples (RFC 2606)."""

from audience.model import NewRecipient

SUBJECT = "{{ recipient.attributes.first }}, the {{ recipient.attributes.season }} letter is here"

HTML = """\
<!doctype html>
<html lang="en">
<body style="margin:0; background:#f3f1ec; font-family:Georgia, serif; color:#222">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td align="center" style="padding:24px">
<table role="presentation" width="560" cellpadding="0" cellspacing="0" style="background:#fff; border-radius:8px">
<tr><td style="padding:32px">
<h1 style="font-size:24px; margin:0 0 16px">Hello {{ recipient.attributes.first }},</h1>
<p>this is letter number {{ recipient.attributes.number }} of {{ recipient.attributes.total }}, written for you alone
in {{ recipient.attributes.city }}. It was planned for {{ slot.strftime("%H:%M") }}, and it comes once.</p>
{% if recipient.attributes.interests %}
<p>You asked to hear about:</p>
<ul>
{% for interest in recipient.attributes.interests %}<li>{{ interest }}</li>
{% endfor %}</ul>
{% endif %}
<p>Warm regards<br>{{ campaign.name }}</p>
<p style="font-size:12px; color:#666">Sent to {{ email }}.
<a href="{{ unsubscribe_url }}">I want no more of these</a></p>
</td></tr></table>
</td></tr></table>
</body>
</html>
"""

_FIRST = (
    "Mila", "Jürgen", "Zoë", "Ahmed", "Åsa", "José", "Łucja", "Noor", "Søren", "Chloé",
    "Ivan", "Yuki", "Máire", "Ọlá", "Dmytro", "Sofía", "Βασιλική", "美咲", "Emre", "Lena 🌻",
)  # fmt: skip
_LAST = (
    "Müller", "O'Brien", "García", "Nowak", "Šimić", "van der Berg", "Öztürk", "Smith", "Løvås",
    "D'Angelo", "Weiß", "Ćosić", "Papadopoulou", "Núñez", "Kowalska", "Čapek", "Joubert",
)  # fmt: skip
_CITIES = (
    "Köln",
    "Kraków",
    "Malmö",
    "São Paulo",
    "Zürich",
    "Cork",
    "İzmir",
    "東京",
    "Århus",
    "Reykjavík",
)
_SEASONS = ("spring", "summer", "autumn", "winter")
_INTERESTS = ("pottery & glass", "gardens", "old maps", "bread", "“new” music", "bicycles 🚲")
_DOMAINS = ("example.com", "example.org", "example.net")


def people(count: int) -> list[NewRecipient]:
    """Return so many recipients, each with an address of their own; the same ones every time."""
    return [_person(number, count) for number in range(1, count + 1)]


def _person(number: int, total: int) -> NewRecipient:
    first = _FIRST[number % len(_FIRST)]
    last = _LAST[number % len(_LAST)]
    return NewRecipient(
        row=number,
        email=f"reader-{number}@{_DOMAINS[number % len(_DOMAINS)]}",
        name=f"{first} {last}",
        attributes={
            "first": first,
            "city": _CITIES[number % len(_CITIES)],
            "season": _SEASONS[number % len(_SEASONS)],
            "number": number,
            "total": total,
            "interests": [_INTERESTS[number % len(_INTERESTS)]] * (number % 3 > 0),
        },
    )
