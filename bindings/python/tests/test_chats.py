"""Conversations: rounds, what is kept of them, and their files."""

import pytest
from conftest import QUESTION

import sot

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
