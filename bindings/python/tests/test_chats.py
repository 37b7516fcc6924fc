"""Conversations: rounds, what is kept of them, and their files."""

import threading
import time

import pytest
from conftest import QUESTION

import sot
from sot import _library
from sot._turn import Turn

SHORT = {"max_points": 2, "max_point_tokens": 4}


def test_rounds_follow_answers(own_session):
    chat = sot.Chat()
    first = chat.generate(own_session, "Why?", **SHORT)
    second = chat.generate(own_session, "And how?", mode="normal", max_tokens=3)
    assert list(chat) == [("Why?", first.text), ("And how?", second.text)]
    assert chat[-1].question == "And how?" and chat[0:1] == (("Why?", first.text),)
    assert len(chat) == 2 and chat.dropped == 0
    # The history option says the same in other words, but computes it anew.
    history = [tuple(chat[0])]
    again = own_session.generate("And how?", mode="normal", max_tokens=3, history=history)
    assert again.text == second.text
    with pytest.raises(IndexError):
        chat[2]
    chat.clear()
    assert len(chat) == 0 and not list(chat)


def test_partial_answer_is_no_round(own_session):
    chat = sot.Chat()
    with pytest.raises(sot.CancelledError) as caught:
        chat.generate(own_session, QUESTION, on_event=lambda event: True)
    assert len(chat) == 0
    chat.append(QUESTION, caught.value.partial.text)
    assert len(chat) == 1


def test_chat_streams(own_session):
    chat = sot.Chat()
    stream = chat.stream(own_session, "Why?", **SHORT)
    assert sot.PointEvent in {type(event) for event in stream}
    assert list(chat) == [("Why?", stream.answer.text)]


def test_chat_in_use_is_busy(own_session):
    chat = sot.Chat()
    stream = chat.stream(own_session, "Why?", **SHORT)
    next(stream)
    for use in (lambda: len(chat), lambda: chat[0], lambda: chat.append("a", "b"), chat.clear):
        with pytest.raises(sot.BusyError, match="the chat is in use"):
            use()
    stream.close()
    assert len(chat) == 0
    with pytest.raises(sot.ArgumentError):
        chat.generate(own_session, "")
    with pytest.raises(TypeError):
        chat.generate(own_session, "a", nothing=1)
    assert len(chat) == 0


def test_chat_is_busy_before_the_library_has_it(own_session, monkeypatch):
    """From stream() on; and a thread that is in a method then does not make the round fail."""
    real, go_on = Turn.__enter__, threading.Event()

    def enter_late(turn):
        go_on.wait(20)
        real(turn)

    monkeypatch.setattr(Turn, "__enter__", enter_late)
    chat = sot.Chat()
    stream = chat.stream(own_session, "Why?", **SHORT)
    try:
        with pytest.raises(sot.BusyError, match="the chat is in use"):
            chat.append("a", "b")
        with pytest.raises(sot.BusyError, match="the chat is in use"):
            chat.generate(own_session, "Why?")
    finally:
        go_on.set()
    with chat._lock:
        list(stream)
    assert list(chat) == [("Why?", stream.answer.text)]


def test_round_waits_for_stream_that_was_let_go(own_session, monkeypatch):
    real = _library.library()

    class LateReturn:
        def __getattr__(self, name):
            return getattr(real, name)

        def sot_chat_generate(self, *arguments):
            status = real.sot_chat_generate(*arguments)
            time.sleep(0.3)
            return status

    monkeypatch.setattr(_library, "_loaded", LateReturn())
    chat = sot.Chat()
    for _ in chat.stream(own_session, QUESTION, mode="normal", ignore_stops=True, max_tokens=900):
        break
    answer = chat.generate(own_session, "Why?", **SHORT)
    assert list(chat) == [("Why?", answer.text)]


def test_round_begun_amid_another_method_is_busy(own_session):
    """As by a signal's handler: the method goes on behind it, maybe while the round is made."""
    chat = sot.Chat()
    with chat._lock, pytest.raises(sot.BusyError, match="the chat is in use"):
        chat.stream(own_session, "Why?", **SHORT)
    assert chat.generate(own_session, "Why?", **SHORT).text == chat[0].answer


def test_rounds_cleared_while_they_are_read_are_left_out(monkeypatch):
    """By a signal's handler."""
    real = _library.library()
    chat = sot.Chat()

    class Clearing:
        def __getattr__(self, name):
            return getattr(real, name)

        def sot_chat_answer(self, cell, i):
            answer = real.sot_chat_answer(cell, i)
            if i == 1:
                chat.clear()
            return answer

    def read(i):
        for question in "ab", "cd", "ef":
            chat.append(question, question.upper())
        with monkeypatch.context() as patched:
            patched.setattr(_library, "_loaded", Clearing())
            return chat[i]

    assert read(slice(0, 3)) == (("ab", "AB"), ("cd", "CD"))
    chat.clear()
    monkeypatch.setattr(Clearing, "sot_chat_question", lambda *_: chat.clear(), raising=False)
    with pytest.raises(IndexError):
        read(0)


def test_chat_that_is_full_drops_or_refuses(model):
    rounds = [("What is tea? " * 8, "A drink. " * 8)] * 6
    with sot.Session(model, n_ctx=256) as small:
        dropping, keeping = sot.Chat(), sot.Chat(keep_all=True, reserve_tokens=60)
        for chat in (dropping, keeping):
            for question, answer in rounds:
                chat.append(question, answer)
        seen = []
        dropping.generate(
            small, "Why?", mode="normal", max_tokens=2, on_event=seen.append
        )
        dropped = [event for event in seen if isinstance(event, sot.DroppedEvent)]
        assert len(dropped) == 1 and dropped[0].n_total == 6
        assert dropping.dropped == dropped[0].n_done > 0 and len(dropping) == 7
        with pytest.raises(sot.ContextFullError):
            keeping.generate(small, "Why?", mode="normal", max_tokens=2)
        assert keeping.dropped == 0


def test_chat_goes_through_its_file(tmp_path):
    chat = sot.Chat()
    chat.append("Wie heißt das? ✓", "Zeile\nund noch eine")
    chat.append("b", "")
    chat.save(tmp_path / "chat.jsonl")
    with sot.Chat.load(tmp_path / "chat.jsonl", reserve_tokens=5, keep_all=True) as again:
        assert list(again) == list(chat)
    with pytest.raises(sot.ClosedError):
        len(again)
