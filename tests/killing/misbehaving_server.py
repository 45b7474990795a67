"""A mail server that misbehaves by dice, at every step of the conversation, and knows what it has taken."""

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.mail.scripted_server import HANG_UP, RESET, Action, Call, ScriptedServer, Session


@dataclass(frozen=True)
class Fault:
    """How often something happens at a step, in a thousand, and what. takes: the message is kept nevertheless."""

    in_a_thousand: float
    actions: Sequence[Action]
    takes: bool = False


def _pause(seconds: float) -> Call:
    return Call(lambda: time.sleep(seconds))


FAULTS: dict[str, Sequence[Fault]] = {
    "banner": [
        Fault(200, [_pause(0.2), b"220 slow.test ESMTP\r\n"]),
        Fault(30, [b"421 4.3.2 not now\r\n", HANG_UP]),
        Fault(30, [HANG_UP]),
    ],
    "EHLO": [Fault(20, [b"421 4.3.2 too busy\r\n", HANG_UP])],
    "MAIL": [
        Fault(4, [b"451 4.3.0 later\r\n"]),
        Fault(0.5, [b"421 4.7.0 that is enough\r\n", HANG_UP]),
    ],
    "RCPT": [
        Fault(10, [b"450 4.2.1 come again\r\n"]),
        Fault(8, [b"550 5.1.1 nobody of that name\r\n"]),
        Fault(2, [RESET]),
    ],
    "DATA": [Fault(4, [b"451 4.3.1 no room\r\n"]), Fault(2, [RESET])],
    "content": [Fault(3, [RESET])],
    "end": [
        Fault(80, [_pause(0.03), b"250 2.0.0 slowly taken\r\n"], takes=True),
        Fault(8, [b"451 4.3.0 ask again\r\n"]),
        Fault(6, [b"554 5.6.0 not this one\r\n"]),
        Fault(2, [b"421 4.3.2 going down\r\n", HANG_UP]),
        Fault(2, [RESET], takes=True),
        Fault(1, [RESET]),
        Fault(1, [b"25", HANG_UP], takes=True),
    ],
}


class MisbehavingServer(ScriptedServer):
    """Takes most messages.

    accepted: whom it has a message for, how often; refused: whom it said a final no to; unanswered: those whose final
    dot it gave no answer to, so that a doubt about them is its own doing.
    """

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self.accepted: Counter[str] = Counter()
        self.refused: set[str] = set()
        self.unanswered: set[str] = set()
        self._dice = dice
        self._books = threading.Lock()

    def actions_for(self, session: Session, step: str) -> Sequence[Action]:
        with self._books:
            fault = self._draw(FAULTS.get(step, ()))
            actions = super().actions_for(session, step) if fault is None else fault.actions
            if step == "content" and fault is not None:
                # All of a small message is on its way by then, its end too.
                self.unanswered.add(session.rcpt_to[0])
            elif step == "end":
                self._enter(session.rcpt_to[0], actions, takes=fault is None or fault.takes)
            elif step == "RCPT" and _says(actions, b"5"):
                self.refused.add(session.line.partition("<")[2].partition(">")[0])
            return actions

    def _draw(self, faults: Sequence[Fault]) -> Fault | None:
        roll = self._dice.random() * 1000
        for fault in faults:
            roll -= fault.in_a_thousand
            if roll < 0:
                return fault
        return None

    def _enter(self, recipient: str, actions: Sequence[Action], *, takes: bool) -> None:
        if takes:
            self.accepted[recipient] += 1
        if _says(actions, b"5"):
            self.refused.add(recipient)
        if not any(isinstance(action, bytes) and action.endswith(b"\r\n") for action in actions):
            self.unanswered.add(recipient)


def _says(actions: Sequence[Action], start: bytes) -> bool:
    return any(isinstance(action, bytes) and action.startswith(start) for action in actions)
