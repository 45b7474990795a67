"""A campaign's template can neither read the server nor hang it nor fill its memory: whoever may write one may try."""

import time
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from campaigns.render import compile_content
from foundation.errors import Invalid
from tests.campaigns.builders import a_snapshot, html_of
from tests.house import a_house, app_of, bearer
from tests.web.given import a_campaign

SECRET = "test-bootstrap-token"

ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__cl' ~ 'ass__'] }}",
    "{{ ()|attr('__class__') }}",
    "{{ recipient|attr('values') }}",
    "{{ ['a']|map('attr', '__class__')|list }}",
    "{{ ['a']|map(attribute='__class__.__mro__')|list }}",
    "{{ ['a']|selectattr('__class__')|list }}",
    "{{ ['a']|sort(attribute='__class__') }}",
    "{{ ['a']|sum(attribute='__class__') }}",
    "{{ ['a']|groupby('__class__') }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(range) }}",
    "{{ '{0.__class__}'|format(range) }}",
    "{{ ('{0.__class__}'.format)(range) }}",
    "{{ '{0.__class__}'|attr('format')(range) }}",
    "{{ '%s' % range.__globals__ }}",
    "{{ 'a'.format_map(recipient.attributes) }}",
    "{{ cycler.__init__.__globals__.os.environ }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ dict.__base__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ super.__self__ }}",
    "{{ super() }}",
    "{{ self }}",
    "{{ caller() }}",
    "{{ varargs }}",
    "{{ kwargs }}",
    "{{ config.items() }}",
    "{{ request.environ }}",
    "{{ g }}",
    "{{ url_for.__globals__ }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ csrf_token() }}",
    "{{ env('SENDONCE_BOOTSTRAP_TOKEN') }}",
    "{% include '/etc/passwd' %}",
    "{% include 'pages/login.html' %}",
    "{% import 'os' as os %}{{ os.environ }}",
    "{% from 'macros/forms.html' import hidden %}{{ hidden() }}",
    "{% extends 'shell.html' %}",
    "{% block a %}{{ super.super() }}{% endblock %}",
    "{% macro m() %}{{ caller.__globals__ }}{% endmacro %}{% call m() %}{% endcall %}",
    "{% macro m() %}{% endmacro %}{{ m.__init__.__globals__ }}",
    "{% for x in [1] %}{{ loop.__init__.__globals__ }}{% endfor %}",
    "{% set n = namespace() %}{% set n.__class__ = 1 %}{{ n.__init__ }}",
    "{% set recipient.attributes = 1 %}",
    "{% do [].append(1) %}",
    "{% debug %}",
    "{{ range.__init__ }}",
    "{{ slot.__class__ }}",
    "{{ slot.tzinfo.__class__ }}",
    "{{ slot|attr('tzinfo') }}",
    "{{ slot.strftime.__self__ }}",
    "{{ slot.strftime('%s') }}",
    "{{ recipient.attributes.__class__ }}",
    "{{ recipient.attributes['_lacking'] }}",
    "{{ recipient.attributes.values() }}",
    "{{ name.encode('idna') }}",
    "{{ name.translate({}) }}",
    "{{ unsubscribe_url.__class__ }}",
    "{{ '!budget' }}{{ context }}{{ environment }}",
    "{{ name|tojson }}{{ name|pprint }}{{ name|xmlattr }}{{ name|safe }}",
]

LONG = "{% set l = range(1000)|list * 300 %}"
TWICE = "{% for i in range(1000) %}{% for j in range(1000) %}"
END = "{% endfor %}{% endfor %}"

BOMBS = {
    "a long list counted again and again": LONG + TWICE + "{% if l|length %}{% endif %}" + END,
    "the same by its other name": LONG + TWICE + "{% if l|count %}{% endif %}" + END,
    "the same in a namespace": "{% set n = namespace(l=range(1000)|list * 300) %}"
    + TWICE
    + "{% if n.l|length %}{% endif %}"
    + END,
    "lists made and thrown away": TWICE + "{% if range(1000) %}{% endif %}" * 4 + END,
    "a text stripped of many characters": "{{ ('a' * 600000)|trim('b' * 600000 ~ 'a') }}",
    "the same as a method": "{{ ('a' * 600000).strip('b' * 600000 ~ 'a') }}",
    "a long needle sought from the end": "{{ ('a' * 600000).rpartition('a' * 99999 ~ 'b' ~ 'a' * 99999) }}",
    "a long needle to split at": "{{ ('a' * 600000).rsplit('a' * 99999 ~ 'b' ~ 'a' * 99999) }}",
    "a long needle to count": "{{ ('a' * 29000).count('a' * 7500 ~ 'b' ~ 'a' * 7500) }}" * 200,
    "a long needle to replace": "{{ ('a' * 29000)|replace('a' * 7500 ~ 'b' ~ 'a' * 7500, '') }}"
    * 200,
    "a long needle in a haystack": "{{ ('a' * 7500 ~ 'b' ~ 'a' * 7500) in ('a' * 29000) }}" * 200,
    "the same by a test": "{{ ('a' * 7500 ~ 'b' ~ 'a' * 7500) is in ('a' * 29000) }}" * 200,
    "half a million tokens": "{{ [" + "1," * 500_000 + "] }}",
    "a long sum": "{{ 1" + "+1" * 500_000 + " }}",
    "a long path": "{{ " + "a." * 300_000 + "b }}",
    "many names": "{% set " + ",".join(f"a{i}" for i in range(20_000)) + " = 1 %}",
    "powers of powers": "{{ 9 ** (9 ** 9) }}",
    "a huge width": "{{ '%999999999s' % name }}",
    "a huge repeat": "{{ 'a' * 10 ** 12 }}",
    "nested loops": TWICE + "x" + END,
    "lists that each cost little": "{% for i in range(100) %}{% for j in range(60) %}"
    "{% if range(1000) %}{% endif %}"
    "{% endfor %}{% endfor %}",
}


BETRAYING = (
    SECRET,
    "<class",
    "&lt;class",
    "<function",
    "&lt;function",
    "built-in",
    "object at 0x",
    "root:",
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    with a_house(tmp_path_factory.mktemp("templates")) as house:
        client = app_of(house).test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = bearer()["Authorization"]
        yield client


@pytest.mark.parametrize("source", ESCAPES)
def test_no_template_reads_the_server(client: FlaskClient, source: str) -> None:
    form = {"name": "N", "subject": "S", "html": f"<p>x</p>{source}", "view": "source"}

    answer = client.post("/campaigns/preview", data=form)

    assert answer.status_code in (200, 422)
    assert [word for word in BETRAYING if word in answer.text] == []


@pytest.mark.parametrize(
    "source",
    [
        "{% set s = slot %}{{ s.tzinfo }}{{ s.utcoffset }}{{ s.max }}",
        "{% for x in [1] %}{{ loop._iterable }}{{ loop._recurse }}{{ loop._undefined }}{% endfor %}",
        "{% macro m() %}{% endmacro %}{{ m.arguments }}{{ m.environment }}{{ m._func }}",
        "{% set n = namespace(a=1) %}{{ n._attrs }}",
        "{% set x = 5 %}{{ x.real }}{{ x.numerator }}",
    ],
)
def test_what_python_would_look_up_is_not_there(source: str) -> None:
    assert html_of(source) == ""


@pytest.mark.parametrize("source", BOMBS.values(), ids=BOMBS)
def test_no_template_takes_more_than_two_seconds(source: str) -> None:
    begun = time.process_time()

    with pytest.raises(Invalid) as told:
        compile_content(a_snapshot(html=source))

    assert time.process_time() - begun < 2
    assert len(told.value.errors[0].message) < 500


def test_a_hostile_template_is_answered_with_a_sentence(client: FlaskClient) -> None:
    bomb = BOMBS["lists made and thrown away"]
    campaign = a_campaign(client)
    begun = time.process_time()

    answer = client.patch(f"/api/campaigns/{campaign['id']}", json={"html": bomb, "text": bomb})

    assert time.process_time() - begun < 3
    assert answer.status_code == 422
    assert "too much work for one mail" in answer.json["errors"][0]["message"]
