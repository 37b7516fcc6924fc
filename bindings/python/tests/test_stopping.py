"""Every way to stop a call: from a callback, by an exception, from a thread, by Ctrl-C."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import QUESTION, ROOT

import sot
from sot import _library
from sot._call import END, Call, Mailbox

LONG = {"ignore_stops": True, "mode": "normal", "max_tokens": 900}
"""Options of a call that takes long, for the demo model."""


@pytest.fixture(scope="module")
def long_seconds(model):
    """How long such a call takes that nobody stops."""
    with sot.Session(model, n_threads=1) as session:
        began = time.monotonic()
        session.generate(QUESTION, **LONG)
        return time.monotonic() - began


def kill_soon(delay=0.15):
    """Sends this process what Ctrl-C sends."""
    timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    return timer


def test_true_from_callback_stops_at_each_event(own_session):
    events = []
    options = {"max_points": 2, "max_point_tokens": 3}
    whole = own_session.generate(QUESTION, on_event=events.append, **options)
    for n in (1, 2, 7, len(events) // 2):
        seen = []

        def on_event(event, seen=seen, n=n):
            seen.append(event)
            return len(seen) == n

        with pytest.raises(sot.CancelledError) as caught:
            own_session.generate(QUESTION, on_event=on_event, **options)
        assert len(seen) == n
        assert caught.value.partial.finish == sot.Finish.CANCELLED
        assert caught.value.status == sot.Status.ERR_CANCELLED
    assert own_session.generate(QUESTION, **options).text == whole.text


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit, StopIteration])
def test_exception_of_callback_comes_out(own_session, error):
    def on_event(event):
        raise error("mine")

    with pytest.raises(error, match="mine"):
        own_session.generate(QUESTION, on_event=on_event)
    assert own_session.generate(QUESTION, max_points=1).points


def test_exception_of_router_comes_out(own_session):
    with pytest.raises(ZeroDivisionError):
        own_session.route(QUESTION, router=lambda question: 1 // 0)
    with pytest.raises(TypeError, match="neither a bool nor a Label"):
        own_session.route(QUESTION, router=lambda question: "yes")
    with pytest.raises(ZeroDivisionError):
        list(own_session.stream(QUESTION, mode="routed", router=lambda question: 1 // 0))
    assert own_session.route(QUESTION, router=lambda question: True).label == sot.Label.SOT


def test_cancel_from_thread_keeps_partial_answer(own_session):
    timer = threading.Timer(0.1, own_session.cancel)
    timer.start()
    with pytest.raises(sot.CancelledError) as caught:
        own_session.generate(QUESTION, **LONG)
    assert caught.value.partial.finish == sot.Finish.CANCELLED
    timer.join()


def test_cancel_before_call_stops_it(own_session):
    own_session.cancel()
    with pytest.raises(sot.CancelledError):
        own_session.generate(QUESTION)
    assert own_session.generate(QUESTION, max_points=1).finish == sot.Finish.STOP


def test_skeleton_cancelled_has_partial_points(own_session):
    def stop_behind_second_point(event):
        return isinstance(event, sot.TextEvent) and "3" in event.text

    with pytest.raises(sot.CancelledError) as caught:
        own_session.skeleton(QUESTION, on_event=stop_behind_second_point)
    assert isinstance(caught.value.partial, sot.Points) and len(caught.value.partial) >= 2


def test_stream_cancel_ends_loop_with_exception(own_session):
    stream = own_session.stream(QUESTION, **LONG)
    with pytest.raises(sot.CancelledError):
        for _ in stream:
            stream.cancel()
    assert stream.answer.finish == sot.Finish.CANCELLED


def test_late_stop_does_not_reach_next_call(own_session, monkeypatch):
    """A request to cancel that comes when the library has returned is taken back."""
    real = _library.library()
    returned, go_on = threading.Event(), threading.Event()

    class LateReturn:
        def __getattr__(self, name):
            return getattr(real, name)

        def sot_generate(self, *arguments):
            status = real.sot_generate(*arguments)
            returned.set()
            go_on.wait()
            return status

    with monkeypatch.context() as patched:
        patched.setattr(_library, "_loaded", LateReturn())
        stream = own_session.stream("Why?", mode="normal", max_tokens=2)
        assert returned.wait(20)
        stream.cancel()
        go_on.set()
        stream.close()
    answer = own_session.generate("Why?", mode="normal", max_tokens=2, ignore_stops=True)
    assert answer.finish == sot.Finish.LENGTH


def test_stop_of_a_call_that_is_busy_does_not_reach_the_other(own_session, monkeypatch):
    real = _library.library()
    entered, go_on = threading.Event(), threading.Event()

    class LateEntry:
        def __getattr__(self, name):
            return getattr(real, name)

        def sot_generate(self, *arguments):
            entered.set()
            go_on.wait()
            return real.sot_generate(*arguments)

    # Its router is asked when the loop begins, so that it is in the library until then.
    options = {"mode": "routed", "router": lambda question: False, "max_tokens": 2}
    stream = own_session.stream("Why?", ignore_stops=True, **options)
    while stream._call.mail.items.empty():
        time.sleep(0.001)
    with monkeypatch.context() as patched:
        patched.setattr(_library, "_loaded", LateEntry())
        other = own_session.stream(QUESTION)
        while not (entered.is_set() or other._call.ended):
            time.sleep(0.001)
        other.cancel()
        go_on.set()
        with pytest.raises(sot.BusyError):
            list(other)
    assert sot.DecisionEvent in {type(event) for event in stream}
    assert stream.answer.finish == sot.Finish.LENGTH


def test_every_call_that_was_left_ends_before_the_next_one(own_session):
    """Also where a second stream was let go before it was told that the session is busy."""
    go_on = [threading.Event() for _ in range(2)]
    calls = [Call(lambda event=event: event.wait(20) - 1, Mailbox()) for event in go_on]
    for call in calls:
        call.start()
        own_session._leave(call)
    go_on[1].set()
    timer = threading.Timer(0.2, go_on[0].set)
    timer.start()
    own_session.logits([1])
    assert [call.ended for call in calls] == [True, True]
    timer.join()


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.generate(QUESTION, **LONG),
        lambda s: s.generate(QUESTION, on_event=lambda event: None, **LONG),
        lambda s: list(s.stream(QUESTION, **LONG)),
        lambda s: s.measure(n_new=100, n_repeats=10000),
        lambda s: sot.Profile.measure(s, full=True),
        lambda s: sot.Chat().generate(s, QUESTION, **LONG),
    ],
    ids=["generate", "callback", "stream", "measure", "profile", "chat"],
)
def test_interrupt_stops_call_and_leaves_session_usable(own_session, long_seconds, call):
    timer = kill_soon(long_seconds / 10)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        call(own_session)
    assert time.monotonic() - began < long_seconds / 2
    timer.join()
    assert own_session.generate("Why?", mode="normal", max_tokens=2).text is not None


def test_interrupts_at_random_times_leave_session_usable(own_session):
    prompts = sot.Prompts(
        "{request}[ROLESWITCHING assistant:]1.",
        "{request}{outline}{point}[ROLESWITCHING assistant:]{point_outline}",
    )
    options = {"max_skeleton_tokens": 6, "max_point_tokens": 4, "prompts": prompts}
    expected = own_session.generate("Why?", **options).text
    calls = [
        lambda: own_session.generate("Why?", **options),
        lambda: own_session.generate("Why?", on_event=lambda event: None, **options),
        lambda: list(own_session.stream("Why?", **options)),
        lambda: own_session.logits([1] * 40),
    ]
    dice, armed, hits = random.Random(1), False, 0

    def on_alarm(*_):
        nonlocal armed
        if armed:
            armed = False
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, on_alarm)
    try:
        for i in range(60):
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.0002, 0.02))
                calls[i % len(calls)]()
                armed = False
            except KeyboardInterrupt:
                hits += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert own_session.generate("Why?", **options).text == expected
    finally:
        signal.signal(signal.SIGALRM, before)
    assert hits > 10


INTERRUPTED = """
import sys, sot
from sot._call import Call, Mailbox

def interrupt_at(n, call):
    "False where call has no n-th place at which Python looks for signals."
    def profile(frame, event, _):
        nonlocal n
        if event in ("call", "c_return") and "/sot/_" in frame.f_code.co_filename:
            n -= 1
            if n == 0:
                raise KeyboardInterrupt
    try:
        sys.setprofile(profile)
        try:
            call()
        finally:
            sys.setprofile(None)
    except KeyboardInterrupt:
        pass
    return n <= 0
"""


def test_interrupt_anywhere_in_stop_leaves_a_call_that_ends(program):
    out = program(
        INTERRUPTED
        + """
n = 1
while True:
    call = Call(lambda: 0, Mailbox())  # its worker never comes
    if not interrupt_at(n, call.stop):
        break
    call.abort()
    assert call.ended and call.status == sot.Status.ERR_CANCELLED
    n += 1
print(n)
"""
    )
    assert int(out) > 5


SIGNALLED = """
import os, signal, threading, time, sot
from sot._call import Call, Mailbox
asked = threading.Event()
class SignalledTurn:
    "A signal comes to the thread that is in its cancel()."
    def __enter__(self):
        pass
    def __exit__(self, *_):
        time.sleep(0.2)
    def cancel(self):
        if not asked.is_set():
            asked.set()
            os.kill(os.getpid(), signal.SIGUSR1)
call = Call(lambda: asked.wait() - 1, Mailbox(), turn=SignalledTurn())
call.start()
while not call._running:
    time.sleep(0.001)
handled = []
"""


def test_abort_in_a_handler_that_interrupts_stop_does_not_wait(program):
    program(
        SIGNALLED
        + """
signal.signal(signal.SIGUSR1, lambda *_: handled.append((call.abort(), call.ended)))
call.abort()
assert handled == [(None, False)] and call.ended
""",
        timeout=20,
    )


def test_session_used_in_a_handler_that_interrupts_stop_waits_later(program):
    program(
        SIGNALLED
        + """
session = sot.Session(sot.Model("examples/model/demo.gguf"), n_threads=1, n_ctx=64)
signal.signal(signal.SIGUSR1, lambda *_: handled.append(session.logits([1])))
session._leave(call)
call.stop()
assert handled and not call.ended
session.logits([1])
assert call.ended
""",
        timeout=20,
    )


def test_interrupt_anywhere_leaves_session_and_chat_usable(program):
    out = program(
        INTERRUPTED
        + """
session = sot.Session(sot.Model("examples/model/demo.gguf"), n_threads=1, n_ctx=256)
options = dict(mode="normal", max_tokens=1, conversation="none")
chat = sot.Chat()
chat.append("a", "b")
for call in (
    lambda: session.generate("a", on_event=lambda event: None, **options),
    lambda: list(session.stream("a", **options)),
    lambda: session.logits([1, 2]),
    lambda: chat.generate(session, "a", **options),
    lambda: list(chat.stream(session, "a", **options)),
    lambda: chat.append("a", "b"),
    lambda: chat[0],
):
    n = 1
    while interrupt_at(n, call):
        session.logits([1])
        assert chat[0] == ("a", "b")
        chat.generate(session, "a", **options)
        chat.clear()
        chat.append("a", "b")
        n += 1
    print(n)
"""
    )
    assert all(int(n) > 5 for n in out.split())


def test_recursion_error_at_any_depth_comes_out(program):
    """And does not make a call that cannot be stopped for want of room try for ever."""
    out = program(
        """
import sys, sot
session = sot.Session(sot.Model("examples/model/demo.gguf"), n_threads=1, n_ctx=64)
def descend(n):
    return descend(n - 1) if n else session.logits([1])
limit, refused = sys.getrecursionlimit(), 0
for n in range(limit - 60, limit):
    try:
        descend(n)
    except (RecursionError, sot.BusyError):
        refused += 1
print(refused)
"""
    )
    assert 1 < int(out) < 60


def test_recursion_error_in_abort_tells_the_worker(monkeypatch):
    """Also where there was no room for stop(): it waits for no reply that will not come."""

    def no_room():
        raise RecursionError

    mail = Mailbox()
    call = Call(lambda: int(mail.ask("anything")), mail)
    call.start()
    assert mail.items.get(timeout=20) is not END
    monkeypatch.setattr(call, "stop", no_room)
    try:
        with pytest.raises(RecursionError):
            call.abort()
        assert mail.items.get(timeout=5) is END and mail.stopped
    finally:
        mail.replies.put(0)


def test_interrupt_stops_prefill():
    with sot.Model("random:512x8x8x1408x400") as big:
        prompt = [3] * 800
        with sot.Session(big, n_threads=1) as session:
            assert session.info.n_ctx >= 800
            began = time.monotonic()
            session.logits(prompt)
            whole = time.monotonic() - began
            session.logits([5])
            timer = kill_soon(whole / 4)
            began = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                session.logits(prompt[1:] + [4])
            assert time.monotonic() - began < whole
            timer.join()
            session.logits([3, 4])


def test_interrupt_stops_loading():
    timer = kill_soon(0.3)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        sot.Model("random:7b")
    assert time.monotonic() - began < 10
    timer.join()


def test_progress_stops_loading():
    seen = []

    def on_progress(done, total):
        seen.append((done, total))
        return len(seen) == 3

    with pytest.raises(sot.CancelledError):
        sot.Model("random:64x2x4x96x300", on_progress=on_progress)
    assert len(seen) == 3 and all(0 <= done <= total for done, total in seen)
    with pytest.raises(ZeroDivisionError):
        sot.Model("random:64x2x4x96x300", on_progress=lambda done, total: 1 // 0)


def test_other_signals_handlers_stop_calls(own_session):
    class Alarm(Exception):
        pass

    def on_alarm(*_):
        raise Alarm

    before = signal.signal(signal.SIGALRM, on_alarm)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Alarm):
            own_session.generate(QUESTION, **LONG)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_ctrl_c_ends_a_program():
    """As at a terminal: the process is told, says KeyboardInterrupt and is gone."""
    source = """
import sot
session = sot.Session(sot.Model("examples/model/demo.gguf"), n_threads=1)
print("asking", flush=True)
session.generate("How?", mode="normal", ignore_stops=True, max_tokens=900)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", source],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )
    assert child.stdout.readline() == "asking\n"
    time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=20)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert child.returncode == -signal.SIGINT
