"""Threads: a model for all, a session for one at a time."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import QUESTION

import sot

QUESTIONS = [QUESTION, "What is a good picnic?", "How do I plan a trip?", "Why is tea good?"]
SHORT = {"max_points": 2, "max_point_tokens": 6}


def test_sessions_of_threads_answer_as_one_does(model):
    with sot.Session(model, n_threads=1) as session:
        expected = [session.generate(q, **SHORT).text for q in QUESTIONS]

    def work(i):
        with sot.Session(model, n_threads=1) as own:
            order = QUESTIONS[i:] + QUESTIONS[:i]
            found = {q: own.generate(q, on_event=lambda event: None, **SHORT).text for q in order}
            return [found[q] for q in QUESTIONS]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [expected] * 4


def test_interpreter_runs_on_while_library_works(own_session):
    """The call releases the interpreter lock: this thread counts meanwhile."""
    counted = []

    def ask():
        own_session.generate(QUESTION, mode="normal", max_tokens=60, ignore_stops=True)
        counted.append(count)

    count = 0
    thread = threading.Thread(target=ask)
    thread.start()
    while thread.is_alive():
        count += 1
    thread.join()
    assert counted[0] > 1000


def test_session_in_use_is_busy(own_session):
    stream = own_session.stream(QUESTION)
    next(stream)
    with pytest.raises(sot.BusyError) as caught:
        own_session.generate(QUESTION)
    assert caught.value.status == sot.Status.ERR_BUSY and str(caught.value)
    with pytest.raises(sot.BusyError):
        own_session.logits([1])
    assert len(list(stream)) > 5 and stream.answer.finish == sot.Finish.STOP


def test_session_in_use_is_busy_in_callback_and_thread(own_session):
    outcomes = []

    def ask():
        try:
            own_session.skeleton("Why?")
        except sot.SotError as error:
            outcomes.append(type(error))

    def on_event(event):
        if not outcomes:
            ask()
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()

    assert own_session.generate(QUESTION, on_event=on_event, **SHORT).points
    assert outcomes == [sot.BusyError] * 2


def test_close_in_another_thread_cancels(own_session):
    stream = own_session.stream(QUESTION, mode="normal", ignore_stops=True, max_tokens=400)
    next(stream)
    thread = threading.Thread(target=own_session.close)
    thread.start()
    with pytest.raises(sot.CancelledError):
        list(stream)
    thread.join()
    with pytest.raises(sot.ClosedError):
        own_session.generate(QUESTION)


def test_sessions_are_made_and_freed_in_many_threads(model):
    def work(i):
        for _ in range(5):
            session = sot.Session(model, n_threads=1, n_ctx=128)
            session.logits([1, 2 + i])
        return True

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(6)))
