"""The protocol without a network: what is taken for a reply, and what goes out."""

import base64
import hmac
import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail import smtp
from mail.reply import Broken, Reply, Stage

Answers = list[Reply | Broken]


def a_conversation(*, ehlo: bytes | None = None) -> smtp.Conversation:
    """Return a conversation that was greeted; with ehlo, that many bytes were the answer to EHLO."""
    talk = smtp.Conversation()
    talk.receive(b"220 ready\r\n")
    if ehlo is not None:
        talk.ask(Stage.EHLO, smtp.ehlo("client.test"))
        talk.receive(ehlo)
    return talk


def in_content() -> smtp.Conversation:
    """Return a conversation whose server has asked for the content."""
    talk = a_conversation()
    talk.ask(Stage.DATA, smtp.DATA)
    talk.receive(b"354 go ahead\r\n")
    return talk


def a_message(**changes: Any) -> Any:
    fields: dict[str, Any] = {
        "mail_from": "news@example.com",
        "rcpt_to": "ann@example.org",
        "content": b"Subject: hello\r\n\r\nhello\r\n",
        "needs_smtputf8": False,
    }
    fields |= changes
    return SimpleNamespace(**({"size_bytes": len(fields["content"])} | fields))


def answers_to_rcpt(data: bytes) -> Answers:
    talk = a_conversation()
    talk.ask(Stage.RCPT, b"RCPT TO:<ann@example.org>\r\n")
    return talk.receive(data)


def test_a_reply_of_one_line_is_read() -> None:
    assert answers_to_rcpt(b"250 2.1.5 ok\r\n") == [
        Reply(stage=Stage.RCPT, code=250, text="2.1.5 ok")
    ]


def test_the_lines_of_a_reply_are_joined() -> None:
    said = b"550-no such user\r\n550-\r\n550 ask the postmaster\r\n"

    assert answers_to_rcpt(said) == [
        Reply(stage=Stage.RCPT, code=550, text="no such user\n\nask the postmaster")
    ]


@pytest.mark.parametrize("said", [b"250\r\n", b"250 \r\n", b"250-\r\n250\r\n"])
def test_the_text_of_a_reply_may_be_missing(said: bytes) -> None:
    [reply] = answers_to_rcpt(said)

    assert isinstance(reply, Reply)
    assert (reply.code, reply.text.strip()) == (250, "")


def test_a_reply_that_is_not_complete_is_no_answer_yet() -> None:
    assert answers_to_rcpt(b"250-one\r\n250 tw") == []


def test_text_beyond_ascii_is_shown_as_well_as_can_be() -> None:
    [reply] = answers_to_rcpt("550 Empfänger unbekannt ".encode() + b"\xff\x00\x1b[2J\r\n")

    assert reply == Reply(
        stage=Stage.RCPT,
        code=550,
        text="Empfänger unbekannt \ufffd\ufffd\ufffd[2J",
    )


def test_the_text_of_a_reply_is_cut_short() -> None:
    [reply] = answers_to_rcpt(
        b"".join(b"250-%s\r\n" % (b"x" * 90) for _ in range(50)) + b"250 x\r\n"
    )

    assert isinstance(reply, Reply)
    assert len(reply.text) == smtp.MAX_REPLY_TEXT


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (b"hello\r\n", "code from 200 to 599"),
        (b"\xff\xfe\r\n", "code from 200 to 599"),
        (b"\r\n", "code from 200 to 599"),
        (b"250ok\r\n", "code from 200 to 599"),
        (b"250\tok\r\n", "code from 200 to 599"),
        (b"25 ok\r\n", "code from 200 to 599"),
        (b"150 wait\r\n", "code from 200 to 599"),
        (b"600 what\r\n", "code from 200 to 599"),
        (b"HTTP/1.1 400 Bad Request\r\n", "code from 200 to 599"),
        (b"250-one\r\n550 two\r\n", "lines begin with 250 and 550"),
        (b"250 " + b"x" * 5000, "more than 4096 bytes"),
        (b"250 " + b"x" * 5000 + b"\r\n", "more than 4096 bytes"),
        (b"250-x\r\n" * 101, "more than 100 lines"),
    ],
)
def test_what_is_no_reply_breaks_the_connection(said: bytes, complaint: str) -> None:
    [broken] = answers_to_rcpt(said)

    assert isinstance(broken, Broken)
    assert broken.stage == Stage.RCPT
    assert complaint in broken.detail


@pytest.mark.parametrize("said", [b"354 go on\r\n", b"334 what\r\n", b"300 hm\r\n"])
@pytest.mark.parametrize(
    "stage", [Stage.EHLO, Stage.STARTTLS, Stage.MAIL, Stage.RCPT, Stage.END_GIVEN]
)
def test_a_3xx_belongs_to_data_alone(stage: Stage, said: bytes) -> None:
    talk = in_content() if stage == Stage.END_GIVEN else a_conversation()
    if stage == Stage.END_GIVEN:
        talk.end_content()
    else:
        talk.ask(stage, b"WHATEVER\r\n")

    [broken] = talk.receive(said)

    assert isinstance(broken, Broken)
    assert broken.stage == stage
    assert "wrong kind" in broken.detail


@pytest.mark.parametrize(("code", "taken"), [(334, True), (354, False), (235, True)])
def test_a_334_belongs_to_auth(code: int, taken: bool) -> None:
    talk = a_conversation()
    talk.ask(Stage.AUTH, b"AUTH LOGIN\r\n")

    [answer] = talk.receive(b"%d VXNlcm5hbWU6\r\n" % code)

    assert isinstance(answer, Reply) == taken


def test_a_2xx_to_data_is_of_the_wrong_kind() -> None:
    talk = a_conversation()
    talk.ask(Stage.DATA, smtp.DATA)

    [broken] = talk.receive(b"250 ok\r\n")

    assert isinstance(broken, Broken)


def test_replies_are_matched_in_order() -> None:
    talk = a_conversation()
    talk.ask(Stage.MAIL, b"MAIL\r\n")
    talk.ask(Stage.RCPT, b"RCPT\r\n")
    talk.ask(Stage.DATA, b"DATA\r\n")

    answers = talk.receive(b"250 one\r\n550 two\r\n503 three\r\n")

    assert answers == [
        Reply(stage=Stage.MAIL, code=250, text="one"),
        Reply(stage=Stage.RCPT, code=550, text="two"),
        Reply(stage=Stage.DATA, code=503, text="three"),
    ]
    assert talk.over is None


@pytest.mark.parametrize("stray", [b"250 ok\r\n", b"2", b"\r\n", b"421 closing\r\n"])
def test_what_nobody_asked_for_ends_the_conversation(stray: bytes) -> None:
    talk = a_conversation()

    assert talk.receive(stray) == []

    assert talk.over is not None


@pytest.mark.parametrize("stray", [b"250 ok\r\n", b"2"])
def test_an_answer_counts_although_a_stray_one_follows_it(stray: bytes) -> None:
    talk = in_content()
    talk.end_content()

    answers = talk.receive(b"250 queued\r\n" + stray)

    assert answers == [Reply(stage=Stage.END_GIVEN, code=250, text="queued")]
    assert talk.over is not None


@pytest.mark.parametrize("early", [b"250 queued\r\n", b"250 que", b"452 too much\r\n"])
def test_nothing_said_before_the_end_of_the_content_answers_it(early: bytes) -> None:
    talk = in_content()

    assert talk.receive(early) == []

    assert talk.over is not None
    assert "before the end of the content" in talk.over


def test_content_that_was_not_asked_for_has_no_end() -> None:
    talk = a_conversation()

    with pytest.raises(AssertionError):
        talk.end_content()


def test_a_421_is_an_answer_and_the_end() -> None:
    talk = a_conversation()
    talk.ask(Stage.MAIL, b"MAIL\r\n")
    talk.ask(Stage.RCPT, b"RCPT\r\n")

    mail, rcpt = talk.receive(b"421 4.3.2 shutting down\r\n")

    assert mail == Reply(stage=Stage.MAIL, code=421, text="4.3.2 shutting down")
    assert isinstance(rcpt, Broken)
    assert rcpt.stage == Stage.RCPT
    assert talk.over is not None


def test_a_lost_connection_breaks_all_that_waits_and_tells_what_had_begun() -> None:
    talk = in_content()
    talk.end_content()
    talk.receive(b"250-queued\r\n250 as 4")

    [broken] = talk.lose("The server closed the connection")

    assert broken == Broken(
        stage=Stage.END_GIVEN,
        detail="The server closed the connection: 250 queued / 250 as 4.",
    )
    assert talk.lose("again") == []
    assert talk.receive(b"250 too late\r\n") == []


def test_what_the_server_announced_is_learnt() -> None:
    talk = a_conversation(
        ehlo=b"250-mx.test at your service\r\n250-SIZE 35882577\r\n250-8bitmime\r\n250-STARTTLS\r\n"
        b"250-AUTH PLAIN login\r\n250-AUTH=CRAM-MD5\r\n250-PIPELINING\r\n250- \r\n250 SMTPUTF8\r\n"
    )

    assert talk.extensions == smtp.Extensions(
        starttls=True,
        auth=frozenset({"PLAIN", "LOGIN", "CRAM-MD5"}),
        size=True,
        size_limit=35882577,
        eight_bit=True,
        smtputf8=True,
        pipelining=True,
    )


@pytest.mark.parametrize("size", [b"SIZE", b"SIZE 0", b"SIZE lots", "SIZE ²".encode()])
def test_a_size_without_a_number_is_no_limit(size: bytes) -> None:
    talk = a_conversation(ehlo=b"250-mx.test\r\n250 %s\r\n" % size)

    assert talk.extensions.size
    assert talk.extensions.size_limit is None


def test_the_greeting_of_the_server_announces_nothing() -> None:
    talk = a_conversation(ehlo=b"250 STARTTLS SMTPUTF8\r\n")

    assert talk.extensions == smtp.Extensions()


def test_what_was_learnt_in_clear_is_forgotten_under_tls() -> None:
    talk = a_conversation(ehlo=b"250-mx.test\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n")

    talk.begin_tls()

    assert talk.extensions == smtp.Extensions()


def test_a_secret_that_a_server_repeats_is_not_shown() -> None:
    talk = a_conversation()
    talk.keep_secret(["AGFubgBodW50ZXIy", "hunter2"])
    talk.ask(Stage.AUTH, b"AUTH PLAIN AGFubgBodW50ZXIy\r\n")

    [reply] = talk.receive(b"501 bad: AUTH PLAIN AGFubgBodW50ZXIy (hunter2)\r\n")

    assert reply == Reply(stage=Stage.AUTH, code=501, text="bad: AUTH PLAIN *** (***)")


def test_a_secret_is_not_shown_in_a_break_either() -> None:
    talk = a_conversation()
    talk.keep_secret(["hunter2"])
    talk.ask(Stage.AUTH, b"AUTH PLAIN x\r\n")

    [broken] = talk.receive(b"you said hunter2\r\n")

    assert isinstance(broken, Broken)
    assert "hunter2" not in broken.detail


SAYABLE = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"250 ok\r\n",
                b"250-a\r\n250-b\r\n250 c\r\n",
                b"250\r\n",
                b"550 no\r\n",
                b"421 bye\r\n",
                b"354 go\r\n",
                b"250-a\r\n",
                b"250 ok\n",
                b"\xff\r\n",
                b"250 " + b"x" * 4091 + b"\r\n",
                b"250 " + b"x" * 4100 + b"\r\n",
            ]
        ),
        st.binary(max_size=8),
    ),
    max_size=6,
).map(b"".join)


@given(said=SAYABLE, cuts=st.lists(st.integers(0, 9000), max_size=30))
def test_it_does_not_matter_where_the_network_cuts(said: bytes, cuts: list[int]) -> None:
    whole, cut = a_conversation(), a_conversation()
    for talk in (whole, cut):
        for stage in (Stage.MAIL, Stage.RCPT, Stage.DATA):
            talk.ask(stage, b"WHATEVER\r\n")
    bounds = [0, *sorted(c for c in cuts if c < len(said)), len(said)]

    expected = whole.receive(said)
    pieces = [said[a:b] for a, b in itertools.pairwise(bounds)]
    answers = [answer for piece in pieces for answer in cut.receive(piece)]

    assert _without_details(answers) == _without_details(expected)
    assert (cut.over is None) == (whole.over is None)


def _without_details(answers: Answers) -> list[tuple[Any, ...]]:
    """What a break quotes may depend on what had arrived by then."""
    return [
        (a.stage, a.code, a.text) if isinstance(a, Reply) else (a.stage, "broken") for a in answers
    ]


@given(said=st.binary(max_size=300))
def test_whatever_a_server_says_is_data(said: bytes) -> None:
    talk = smtp.Conversation()

    answers = [*talk.receive(said), *talk.lose("closed")]

    assert len(answers) == 1


@pytest.mark.parametrize("evil", ["a\r\nQUIT", "a\nQUIT", "a\rQUIT", "a\0", "a\x85QUIT", "\x1b"])
def test_no_command_can_hold_a_line_end(evil: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        smtp.command(f"VRFY {evil}")
    with pytest.raises(ValueError, match="control character"):
        smtp.ehlo(evil)
    with pytest.raises(ValueError, match="can't be written"):
        smtp.envelope(a_message(rcpt_to=evil), smtp.Extensions())
    with pytest.raises(ValueError, match="can't be written"):
        smtp.envelope(
            a_message(mail_from=evil, needs_smtputf8=True), smtp.Extensions(smtputf8=True)
        )


@pytest.mark.parametrize(
    "address", ["a@b.test> SIZE=1", "a b@c.test", "<a@b.test>", '"a@b.test', "a@b.test\u2028"]
)
def test_an_address_can_say_nothing_but_an_address(address: str) -> None:
    with pytest.raises(ValueError, match="can't be written"):
        smtp.envelope(
            a_message(rcpt_to=address, needs_smtputf8=True), smtp.Extensions(smtputf8=True)
        )


@given(address=st.text(max_size=30))
def test_an_envelope_is_two_lines_whatever_the_address(address: str) -> None:
    message = a_message(rcpt_to=address, needs_smtputf8=True)
    try:
        lines = smtp.envelope(message, smtp.Extensions(smtputf8=True))
    except ValueError:
        return

    assert not isinstance(lines, Reply)
    assert [line.count(b"\r") + line.count(b"\n") for line in lines] == [2, 2]
    assert lines[1].endswith(b">\r\n")


def test_a_quoted_local_part_goes_out_as_it_is() -> None:
    lines = smtp.envelope(a_message(rcpt_to='"ann > \\"o"@example.org'), smtp.Extensions())

    assert not isinstance(lines, Reply)
    assert lines[1] == b'RCPT TO:<"ann > \\"o"@example.org>\r\n'


def test_an_envelope_says_nothing_that_was_not_offered() -> None:
    assert smtp.envelope(a_message(), smtp.Extensions()) == (
        b"MAIL FROM:<news@example.com>\r\n",
        b"RCPT TO:<ann@example.org>\r\n",
    )


def test_an_envelope_announces_what_was_offered_and_is_needed() -> None:
    offered = smtp.Extensions(size=True, size_limit=1000, eight_bit=True, smtputf8=True)
    message = a_message(rcpt_to="jürgen@example.org", content="ä\r\n".encode(), needs_smtputf8=True)

    assert smtp.envelope(message, offered) == (
        b"MAIL FROM:<news@example.com> SIZE=4 BODY=8BITMIME SMTPUTF8\r\n",
        "RCPT TO:<jürgen@example.org>\r\n".encode(),
    )


def test_seven_bit_content_does_not_ask_for_more() -> None:
    offered = smtp.Extensions(eight_bit=True, smtputf8=True)

    mail = smtp.envelope(a_message(), offered)

    assert not isinstance(mail, Reply)
    assert mail[0] == b"MAIL FROM:<news@example.com>\r\n"


@pytest.mark.parametrize(
    ("changes", "offered", "code", "word"),
    [
        ({"content": b"x" * 101}, smtp.Extensions(size=True, size_limit=100), 552, "at most 100"),
        ({"needs_smtputf8": True}, smtp.Extensions(eight_bit=True), 553, "SMTPUTF8"),
        ({"content": b"\xe4\r\n"}, smtp.Extensions(smtputf8=True), 555, "8BITMIME"),
    ],
)
def test_what_a_server_can_not_take_is_refused_in_its_place(
    changes: dict[str, Any], offered: smtp.Extensions, code: int, word: str
) -> None:
    refusal = smtp.envelope(a_message(**changes), offered)

    assert isinstance(refusal, Reply)
    assert (refusal.stage, refusal.code) == (Stage.MAIL, code)
    assert word in refusal.text


def test_an_address_beyond_ascii_needs_smtputf8() -> None:
    with pytest.raises(ValueError, match="SMTPUTF8"):
        smtp.envelope(a_message(rcpt_to="jürgen@example.org"), smtp.Extensions(smtputf8=True))


@pytest.mark.parametrize(
    ("content", "written"),
    [
        (b"", b""),
        (b"a\r\n", b"a\r\n"),
        (b".\r\n", b"..\r\n"),
        (b".a\r\n.\r\n..\r\nb.\r\n", b"..a\r\n..\r\n...\r\nb.\r\n"),
        (b"a\n.\nb\r.\r\r\n", b"a\r\n..\r\nb\r\n..\r\n\r\n"),
        (b"a\n\r\nb", b"a\r\n\r\nb\r\n"),
        (b"a\r\n.b", b"a\r\n..b\r\n"),
    ],
)
def test_content_is_stuffed_and_its_line_ends_are_mended(content: bytes, written: bytes) -> None:
    assert smtp.dot_stuffed(content) == written


@given(
    st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n.\r\n"]), max_size=30).map(b"".join)
)
def test_no_content_holds_an_end_that_any_server_could_see(content: bytes) -> None:
    written = smtp.dot_stuffed(content)

    lines = written.split(b"\r\n")
    assert lines.pop() == b""
    assert b"." not in lines
    assert not any(b"\r" in line or b"\n" in line for line in lines)


def spoken(mechanism: str, *challenges: str, password: str = "hunter2") -> list[bytes]:
    steps = smtp.sign_in(mechanism, "ann", password)
    return [next(steps)[0], *(steps.send(challenge)[0] for challenge in challenges)]


def test_plain_says_all_at_once() -> None:
    assert spoken("PLAIN") == [b"AUTH PLAIN AGFubgBodW50ZXIy\r\n"]


def test_plain_repeats_itself_to_a_server_that_did_not_listen() -> None:
    assert spoken("PLAIN", "") == [b"AUTH PLAIN AGFubgBodW50ZXIy\r\n", b"AGFubgBodW50ZXIy\r\n"]


def test_login_answers_two_questions() -> None:
    assert spoken("LOGIN", "VXNlcm5hbWU6", "UGFzc3dvcmQ6") == [
        b"AUTH LOGIN\r\n",
        b"YW5u\r\n",
        b"aHVudGVyMg==\r\n",
    ]


def test_cram_md5_does_not_show_the_password() -> None:
    challenge = base64.b64encode(b"<1896.697170952@mx.test>").decode()

    [first, second] = spoken("CRAM-MD5", challenge)

    digest = hmac.new(b"hunter2", b"<1896.697170952@mx.test>", "md5").hexdigest()
    assert first == b"AUTH CRAM-MD5\r\n"
    assert base64.b64decode(second) == f"ann {digest}".encode()


def test_a_challenge_that_makes_no_sense_is_an_error_of_the_mechanism() -> None:
    with pytest.raises(ValueError, match=r"(?i)base64|characters"):
        spoken("CRAM-MD5", "what?")


@pytest.mark.parametrize(
    ("offered", "private", "chosen"),
    [
        ({"LOGIN", "PLAIN"}, True, "PLAIN"),
        ({"LOGIN", "CRAM-MD5"}, True, "LOGIN"),
        ({"LOGIN", "CRAM-MD5"}, False, "CRAM-MD5"),
        ({"XOAUTH2", "GSSAPI"}, True, None),
        (set(), True, None),
    ],
)
def test_the_way_to_sign_in_is_chosen(offered: set[str], private: bool, chosen: str | None) -> None:
    assert smtp.choose_mechanism(frozenset(offered), private=private) == chosen
