"""Who decides between Skeleton-of-Thought and a normal answer."""

import pytest
from conftest import QUESTION, ROOT

import sot

SHORT = {"max_points": 2, "max_point_tokens": 4, "max_tokens": 4}


@pytest.fixture(scope="module")
def router():
    with sot.Router.load(ROOT / "examples" / "router" / "lima.router") as one:
        yield one


def test_trained_router_classifies(router):
    good = router.classify("How can I improve my time management skills?")
    bad = router.classify(b"What is 17 times 23?")
    assert good.label == sot.Label.SOT and bad.label == sot.Label.NORMAL
    assert 0 <= bad.score < good.score <= 1
    assert router.classify(b"\xff\x00") is not None


@pytest.mark.parametrize(
    "kind, label", [("always", sot.Label.SOT), (sot.RouterKind.NEVER, sot.Label.NORMAL)]
)
def test_routed_answer_follows_decision(session, kind, label):
    answer = session.generate(QUESTION, mode="routed", router=kind, **SHORT)
    assert answer.decision.label == label
    assert (answer.points is not None) == (label == sot.Label.SOT)
    assert answer.stats.mode == (sot.Mode.SOT if label == sot.Label.SOT else sot.Mode.NORMAL)


def test_trained_router_decides_in_session(session, router):
    decision = session.route(QUESTION, router=router)
    assert decision.router == sot.RouterKind.TRAINED
    assert decision.label == router.classify(QUESTION).label
    assert decision.score == pytest.approx(router.classify(QUESTION).score)


def test_model_is_asked_by_default(session):
    decision = session.route(QUESTION)
    assert decision.router == sot.RouterKind.PROMPTING
    assert decision.letter in ("", "A", "B", "C") and decision.latency_ns > 0
    assert session.route(QUESTION, concurrent=True).label == decision.label


@pytest.mark.parametrize(
    "reply, label, score",
    [
        (True, sot.Label.SOT, 1.0),
        (False, sot.Label.NORMAL, 0.0),
        (sot.Label.UNDECIDED, sot.Label.UNDECIDED, 0.0),
        ((True, 0.75), sot.Label.SOT, 0.75),
        ((sot.Label.NORMAL, 0.25), sot.Label.NORMAL, 0.25),
    ],
)
def test_function_decides(session, reply, label, score):
    asked = []

    def route(question):
        asked.append(question)
        return reply

    decision = session.route("Warum? ✓", router=route)
    assert asked == ["Warum? ✓"] and decision.router == sot.RouterKind.CALLBACK
    assert (decision.label, decision.score) == (label, score)


def test_router_closed_during_call_is_still_there(session):
    router = sot.Router.load(ROOT / "examples" / "router" / "lima.router")
    answer = session.generate(
        QUESTION, mode="routed", router=router, on_event=lambda event: router.close(), **SHORT
    )
    assert answer.decision.router == sot.RouterKind.TRAINED
    with pytest.raises(sot.ClosedError):
        session.route(QUESTION, router=router)


def test_router_that_is_not_installed_is_a_file_error(program):
    out = program(
        """
import sot
try:
    sot.Router.load()
    print("found")
except sot.FileError as error:
    print(error)
"""
    )
    assert "lima.router" in out or out == "found\\n"


@pytest.mark.parametrize("reply", ["A", 0.5, (True,), ("A", 0.5), (True, 0.5, 1)])
def test_reply_that_is_none_is_refused(session, reply):
    with pytest.raises(TypeError, match="router: it returned .* neither a bool nor a Label"):
        session.route("Why?", router=lambda question: reply)
