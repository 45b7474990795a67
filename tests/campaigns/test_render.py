"""campaigns.render: what a template can say, and what it can't do."""

import html as html_module
import time
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.render import MAX_TEMPLATE, RenderError, compile_content
from foundation.errors import Invalid
from tests.campaigns.builders import LINK, SLOT, a_reader, a_snapshot, html_of, rendered, text_of


def test_a_template_says_who_when_and_how_to_leave() -> None:
    source = "{{ name }} {{ email }} {{ recipient.name }} {{ campaign.name }} {{ slot }} {{ unsubscribe_url }}"

    made = text_of(source)

    assert made == f"Ada ada@example.com Ada Spring 2026-03-29 09:00 CEST {LINK}"


def test_the_slot_can_be_written_in_any_way() -> None:
    made = text_of(
        "{{ slot.strftime('%d.%m.%Y') }} {{ slot.hour }} {{ slot.date() }} {{ slot.weekday() }}"
    )

    assert made == "29.03.2026 9 2026-03-29 6"


def test_attributes_are_looked_up_by_key_only() -> None:
    made = text_of(
        "{{ recipient.attributes.items }} {{ recipient.attributes.a.keys }} {{ recipient.attributes['b c'] }}",
        **{"items": "three", "a": {"keys": "two"}, "b c": "spaced"},
    )

    assert made == "three two spaced"


def test_an_attribute_that_is_lacking_at_any_depth_is_empty() -> None:
    made = text_of(
        "[{{ recipient.attributes.a.b.c }}{{ recipient.attributes.there.zip }}]", there={}
    )

    assert made == "[]"


def test_a_null_attribute_is_empty() -> None:
    assert text_of("[{{ recipient.attributes.a }}]", a=None) == "[]"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("{{ x > 3 }}", "False"),
        ("{{ x + 3 }}", "3"),
        ("{{ x ~ 'a' }}", "a"),
        ("{{ 'a' + x }}", "a"),
        ("{{ -x }}", ""),
        ("{{ x == '' }}", "True"),
        ("{{ 'a' in x }}", "False"),
        ("{{ x in 'abc' }}", "False"),
        ("{{ x[1:2] }}", ""),
        ("{{ x|upper }}", ""),
        ("{{ x|length }}", "0"),
        ("{{ x|int }}", "0"),
        ("{{ x|default('you') }}", "you"),
        ("{{ x is defined }}", "False"),
        ("{% for y in x %}{{ y }}{% else %}none{% endfor %}", "none"),
        ("{{ 'yes' if x else 'no' }}", "no"),
    ],
)
def test_what_is_lacking_is_safe_in_every_expression(expression: str, expected: str) -> None:
    source = expression.replace("x", "recipient.attributes.zz", 1)

    assert text_of(source) == expected


def test_lacking_names_what_was_looked_up_and_not_there() -> None:
    source = (
        "{{ recipient.attributes.city }}{{ recipient.attributes.address.zip }}{{ recipient.attributes.plan }}"
        "{% for p in recipient.attributes.products %}{{ p.price }}{% endfor %}"
    )
    compiled = compile_content(a_snapshot(html=source))
    reader = a_reader(attributes={"address": {}, "plan": "gold", "products": [{"price": 1}, {}]})

    assert compiled.lacking(reader) == ("address.zip", "city", "products.price")


def test_html_is_escaped_and_text_is_not() -> None:
    content = rendered(
        a_reader(name="<b>&"), html="{{ name }}", text="{{ name }}", subject="{{ name }}"
    )

    assert (content.html, content.text, content.subject) == ("&lt;b&gt;&amp;", "<b>&", "<b>&")


def test_a_subject_is_one_line_without_control_characters() -> None:
    content = rendered(a_reader(name="A\r\nBcc: x@y.z\0\u2028B"), subject="\n Hi {{ name }} \n")

    assert content.subject == "Hi A Bcc: x@y.z B"


def test_line_ends_are_lf_in_all_parts() -> None:
    content = rendered(a_reader(name="A\r\nB\rC"), html="{{ name }}\r\n<br>", text="{{ name }}\rx")

    assert "\r" not in f"{content.html}{content.text}"
    assert content.text == "A\nB\nC\nx"


def test_the_text_is_made_from_the_html_when_none_was_written() -> None:
    content = rendered(
        html='<p>Hi {{ name }}</p><p><a href="{{ unsubscribe_url }}">Leave</a></p>', text=None
    )

    assert content.text == f"Hi Ada\n\n[Leave]({LINK})\n"


def test_a_blank_text_counts_as_none() -> None:
    assert rendered(html="<p>Hi</p>", text=" \n").text == "Hi\n"


def test_without_html_it_is_a_text_only_mail() -> None:
    content = rendered(html="", text="Hi {{ name }}")

    assert (content.html, content.text) == (None, "Hi Ada")


def test_one_of_html_and_text_is_needed() -> None:
    with pytest.raises(Invalid) as caught:
        compile_content(a_snapshot(html="", text=None))

    assert caught.value.errors[0].field == "html"


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("a\n{{ firstname }}", 2, "recipient.attributes.firstname"),
        ("a\nb\n{{ recipient.city }}", 3, "recipient.attributes.city"),
        ("{{ name", 1, "never closed"),
        ("\n{% if %}", 2, "Expected an expression"),
        ("{{ 1 }}\n{{ 'a' + 1 }}", 2, "concatenate"),
        ("\n{{ name|nosuch }}", 2, "nosuch"),
        ("\n{{ name is nosuch }}", 2, "nosuch"),
        ("{{ recipient.attributes.items() }}", 1, "|items"),
        ("{{ name.upper }}", 1, "parentheses"),
        ("{{ recipient }}", 1, "a recipient"),
        ("{{ 'a' < 3 }}", 1, "|int"),
    ],
)
def test_a_mistake_is_told_at_saving_with_its_line(source: str, line: int, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        compile_content(a_snapshot(html=source))

    error = caught.value.errors[0]
    assert error.field == "html"
    assert error.message.startswith(f"line {line}: ")
    assert words in error.message


def test_every_field_with_a_mistake_is_named() -> None:
    with pytest.raises(Invalid) as caught:
        compile_content(a_snapshot(subject="{{ a }}", html="{{ b }}", text="{{ c }}"))

    assert [error.field for error in caught.value.errors] == ["subject", "html", "text"]


@pytest.mark.parametrize("field", ["subject", "html", "text"])
def test_a_template_has_a_longest_length(field: str) -> None:
    with pytest.raises(Invalid) as caught:
        compile_content(a_snapshot(**{field: "x" * (MAX_TEMPLATE[field] + 1)}))

    assert caught.value.errors[0].field == field


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__class__']['__mro__'] }}",
        "{{ recipient.__class__ }}",
        "{{ recipient.attributes.__init__.__globals__ }}",
        "{{ range.__globals__ }}",
        "{{ slot.__reduce__ }}",
        "{{ name.upper.__self__ }}",
        "{{ name|attr('__class__') }}",
        "{{ ['x']|map(attribute='__class__')|join }}",
        "{{ ['x']|map('attr', '__class__')|join }}",
        "{{ '{0.__class__}'.format(name) }}",
        "{{ '{0.__class__}'|format(name) }}",
        "{{ '%(x)s'.__mod__ }}",
        "{{ lipsum.__globals__ }}",
        "{{ cycler.__init__ }}",
        "{{ self.__init__ }}",
        "{{ namespace.__init__ }}",
        "{% macro m() %}{% endmacro %}{{ m.__call__ }}{{ m.name }}",
        "{% for x in [1] %}{{ loop.__class__ }}{{ loop._iterator }}{% endfor %}",
        "{% set n = namespace(a=1) %}{{ n.__class__ }}{{ n._Namespace__attrs }}",
    ],
)
def test_no_template_reaches_python(source: str) -> None:
    try:
        made = html_of(source)
    except Invalid:
        return
    assert made.strip("{}0._clas") == ""


@pytest.mark.parametrize(
    "tag",
    [
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% from 'x' import y %}",
        "{% extends 'x' %}",
        "{% block x %}{% endblock %}",
        "{% autoescape false %}{{ name }}{% endautoescape %}",
        "{% call name() %}{% endcall %}",
        "{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}",
        "{{ name|safe }}",
        "{{ name|xmlattr }}",
        "{{ name|tojson }}",
        "{{ lipsum() }}",
        "{{ dict(a=1) }}",
        "{{ name.encode() }}",
        "{{ config }}",
        "{{ '\\ud800' }}",
    ],
)
def test_what_a_mail_does_not_need_is_refused(tag: str) -> None:
    with pytest.raises(Invalid) as caught:
        compile_content(a_snapshot(html=tag))

    assert caught.value.errors[0].message.startswith("line 1: ")


BOMBS = [
    "{{ 'a' * 10000000000 }}",
    "{{ 10000000000 * 'a' }}",
    "{{ [1] * 10000000000 }}",
    "{{ 2 ** 10000000 }}",
    "{{ 9 ** (9 ** 9) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%1000000000d'|format(1) }}",
    "{{ '%.1000000000f' % 1.5 }}",
    "{{ '%*d' % (1000000000, 1) }}",
    "{{ '%1000000000d' is odd }}",
    "{{ '%1000000000d' is divisibleby 3 }}",
    "{{ 'a'.center(1000000000) }}",
    "{{ 'a'|center(1000000000) }}",
    "{{ 'a'|indent(1000000000) }}",
    "{{ ['a']|batch(1000000000, 'x') }}",
    "{{ slot.strftime('%1000000000Y') }}",
    "{{ range(1000000000)|length }}",
    "{{ 10|round(-1000000000) }}",
    "{{ ('a' * 1000).replace('a', 'b' * 100000) }}",
    "{{ ('a' * 1000)|replace('a', 'b' * 100000) }}",
    "{{ (range(1000)|list)|join('b' * 100000) }}",
    "{{ ('b' * 100000).join(range(1000)) }}",
    "{% for a in range(1000) %}{% for b in range(1000) %}x{% endfor %}{% endfor %}",
    "{% for a in range(1000) if range(1000)|sort %}{% for b in range(1000) if 0 %}{% endfor %}{% endfor %}",
    "{% for a in range(1000) %}" + "x" * 100_000 + "{% endfor %}",
    "{% set a = 'aaaaaaaaaa' %}" + "{% set a = a ~ a %}" * 60,
    "{% set a = 'aaaaaaaaaa' %}" + "{% set a = a + a %}" * 60,
    "{% set a = 'aaaaaaaaaa' %}" + "{% set b %}{{ a }}{{ a }}{% endset %}{% set a = b %}" * 60,
    "{% set a = ['lol'] %}" + "{% set a = [a, a] %}" * 60 + "{{ a }}",
    "{% set a = ['lol'] %}{% set b = ['lol'] %}"
    + "{% set a = [a, a] %}{% set b = [b, b] %}" * 60
    + "{{ a == b }}",
    "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% macro d(x) %}{{ x }}{{ x }}{% endmacro %}{{ " + "d(" * 40 + "'aaaaaaaa'" + ")" * 40 + " }}",
    "{% set a = range(1000)|list * 20 %}{% for x in range(1000) %}{% if a == a %}{% endif %}{% endfor %}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{% if 1 %}" * 400 + "{% endif %}" * 400,
    "{{ " + "9" * 6000 + " }}",
    "{{ name }}" * 100_000,
    "{#" * 100_000,
]


@pytest.mark.parametrize("source", BOMBS, ids=lambda source: source[:40])
def test_no_template_hangs_or_fills_the_memory(source: str) -> None:
    begun = time.process_time()

    with pytest.raises(Invalid):
        compile_content(a_snapshot(html=source))

    assert time.process_time() - begun < 5


def test_a_message_about_a_mistake_stays_short() -> None:
    with pytest.raises(Invalid) as caught:
        compile_content(a_snapshot(html="{{ " + "a" * 100_000 + " }}"))

    assert len(caught.value.errors[0].message) < 500


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ '%.2f'|format(recipient.attributes.price|float) }}", "9.90"),
        ("{{ '%s has %d' % (name, 3) }}", "Ada has 3"),
        ("{{ recipient.attributes.tags|join(', ') }}", "b, a"),
        ("{{ recipient.attributes.tags|sort|first }}", "a"),
        ("{{ recipient.attributes.tags|map('upper')|join }}", "BA"),
        ("{{ recipient.attributes.rows|map(attribute='n')|sum }}", "3"),
        ("{{ recipient.attributes.rows|selectattr('n', 'gt', 1)|list|length }}", "1"),
        ("{{ recipient.attributes.rows|rejectattr('n', 'gt', 1)|map(attribute='n')|join }}", "1"),
        ("{{ [1, 2, 3, 4]|select('even')|join(',') }}", "2,4"),
        (
            "{{ recipient.attributes.rows|sort(attribute='n', reverse=true)|map(attribute='n')|join }}",
            "21",
        ),
        ("{% for k, v in recipient.attributes.o|items %}{{ k }}={{ v }};{% endfor %}", "x=1;"),
        (
            "{% set ns = namespace(n=0) %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
            "6",
        ),
        ("{% for r in [1,2,3]|batch(2) %}{{ loop.index }}:{{ r|join }};{% endfor %}", "1:12;2:3;"),
        ("{{ name|lower|title|replace('A', 'E')|truncate(2) }}", "E…"),
        ("{{ 'a b&c'|urlencode }}", "a%20b%26c"),
        (
            "{{ 7.345|round(2) }} {{ 7.1|round(0, 'ceil') }} {{ -3|abs }} {{ '12'|int + 1 }}",
            "7.34 8.0 3 13",
        ),
        ("{% with x = 2 %}{{ x * 3 }}{% endwith %}{% raw %}{{ }}{% endraw %}", "6{{ }}"),
        ("{{ [3, 1]|max }}{{ [3, 1]|min }}{{ ['a', 'A']|unique|list|length }}", "311"),
        (
            "{{ name.startswith('A') }} {{ 'a,b'.split(',')|last }} {{ '-'.join(['a', 'b']) }}",
            "True b a-b",
        ),
        (
            "{% for x in 'ab' %}{{ loop.cycle('1', '2') }}{{ loop.changed(x) }}{% endfor %}",
            "1True2True",
        ),
        ("{% if name %}{% set z = 1 %}{% endif %}{{ z }}", "1"),
        ("{{ recipient.attributes.rows }}", "n: 1, n: 2"),
        (
            "{{ 'x' if 'b' in recipient.attributes.tags and 'q' not in recipient.attributes.tags }}",
            "x",
        ),
        ("{% macro m(a, b='!') %}{{ a }}{{ b }}{% endmacro %}{{ m(name) }}", "Ada!"),
        ("{% filter upper %}{{ name }}{% endfilter %}", "ADA"),
    ],
)
def test_the_language_has_what_mails_need(source: str, expected: str) -> None:
    made = text_of(source, price="9.9", tags=["b", "a"], rows=[{"n": 1}, {"n": 2}], o={"x": 1})

    assert made == expected


def test_markup_stays_escaped_through_every_filter() -> None:
    source = (
        "{{ name|e|replace('&lt;', '<') }}{{ name ~ ('<'|e) }}{{ [name, '<'|e]|join('<') }}"
        "{% set x %}{{ name }}{% endset %}{{ x|upper }}{{ (x ~ name)|string }}"
        "{% filter replace('b', name) %}b{% endfilter %}"
    )

    made = rendered(a_reader(name="<i>"), html=source).html

    assert made is not None
    assert "<" not in made


def test_what_goes_wrong_with_one_recipient_is_told_with_field_and_line() -> None:
    compiled = compile_content(a_snapshot(html="a\n{{ recipient.attributes.age > 18 }}"))

    with pytest.raises(RenderError) as caught:
        compiled.render(a_reader(attributes={"age": "20"}), SLOT, LINK)

    assert caught.value.field == "html"
    assert caught.value.message.startswith("line 2: ")


@pytest.mark.parametrize(
    "source", ["1 / 0", "recipient.attributes.n // 0", "1 % 0.0", "(2 / 0)|int"]
)
def test_dividing_by_zero_whoever_the_recipient_is_is_refused(source: str) -> None:
    html = f"{{% if recipient.attributes.x %}}\n{{{{ {source} }}}}{{% endif %}}"

    with pytest.raises(Invalid) as caught:
        compile_content(a_snapshot(html=html))

    assert [e.message for e in caught.value.errors] == ["line 2: divides by zero"]


def test_dividing_by_what_a_stranger_lacks_can_be_saved() -> None:
    compiled = compile_content(a_snapshot(text="{{ 10 / recipient.attributes.n }}"))

    content = compiled.render(a_reader(attributes={"n": 4}), SLOT, LINK)

    assert content.text == "2.5"


def test_a_mail_of_more_than_two_mebibytes_is_refused() -> None:
    source = "{% for i in range(300) %}" + "x" * 10_000 + "{% endfor %}"

    with pytest.raises(Invalid, match="2 MiB"):
        compile_content(a_snapshot(html=source))


def test_a_template_can_not_change_what_the_next_recipient_sees() -> None:
    compiled = compile_content(
        a_snapshot(
            text="{% set recipient = 1 %}{% set ns = namespace(x=recipient) %}{{ ns.x }}{{ name }}"
        )
    )

    first = compiled.render(a_reader(), SLOT, LINK)
    second = compiled.render(a_reader(name="Bob"), SLOT, LINK)

    assert (first.text, second.text) == ("1Ada", "1Bob")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_EVERYWHERE = compile_content(
    a_snapshot(
        subject="{{ name }}",
        html='<p class="{{ recipient.attributes.a }}">{{ name }}|{{ recipient.attributes }}|'
        "{% for k, v in recipient.attributes|items %}{{ k }}{{ v }}{% endfor %}"
        "{{ recipient.attributes.a|upper|truncate(9) ~ name }}{{ recipient.attributes.a.b.c }}</p>",
        text="{{ name }}{{ recipient.attributes.a }}",
    )
)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[Any]) -> None:
        self.seen.append((tag, len(attrs)))


@given(name=st.text(), attributes=st.dictionaries(st.sampled_from(["a", "b", "<i>"]), _json))
def test_no_value_of_an_attribute_becomes_html(name: str, attributes: dict[str, Any]) -> None:
    content = _EVERYWHERE.render(a_reader(name=name, attributes=attributes), SLOT, LINK)
    tags = _Tags()
    tags.feed(content.html or "")

    assert tags.seen == [("p", 1)]
    assert content.subject.splitlines() in ([], [content.subject])


@given(value=st.text())
def test_a_value_reads_back_as_it_was(value: str) -> None:
    made = rendered(a_reader(attributes={"a": value}), html="{{ recipient.attributes.a }}").html

    assert html_module.unescape(made or "") == html_module.unescape(
        html_module.escape(value.replace("\r\n", "\n").replace("\r", "\n"))
    )


@given(source=st.text(st.sampled_from("{}%#|()[]'\"~ .,+*ainrecforset1\n")))
def test_any_source_is_rendered_or_refused_with_a_line(source: str) -> None:
    told = _mistakes(source or "x")

    assert all(message.startswith("line ") or "empty" in message for message in told)


def _mistakes(source: str) -> list[str]:
    try:
        compile_content(a_snapshot(html=source))
    except Invalid as invalid:
        return [error.message for error in invalid.errors]
    return []


def test_a_small_mail_takes_little_time() -> None:
    compiled = compile_content(
        a_snapshot(
            html="<p>{{ name }} {{ recipient.attributes.city|default('you') }} {{ unsubscribe_url }}</p>"
            * 3,
            text="{{ name }}",
        )
    )
    reader = a_reader(attributes={"city": "Berlin", "plan": "gold"})
    best = 1.0
    for _ in range(20):
        begun = time.perf_counter()
        for _ in range(50):
            compiled.render(reader, SLOT, LINK)
        best = min(best, (time.perf_counter() - begun) / 50)

    # Measured at 0.03 ms; room for a slow, busy machine.
    assert best < 0.0005
