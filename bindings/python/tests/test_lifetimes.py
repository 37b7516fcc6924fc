"""Objects go in any order, by hand, by reference counts, by the garbage collector, at exit, and
not in a child of fork()."""

import copy
import gc
import itertools
import os
import pickle
import time
import weakref

import pytest
from conftest import DEMO, QUESTION

import sot
from sot import _library, _owned

SHORT = {"max_points": 2, "max_point_tokens": 4}


def make_all():
    model = sot.Model(DEMO)
    session = sot.Session(model, n_threads=1, n_ctx=512)
    answer = session.generate(QUESTION, **SHORT)
    chat = sot.Chat()
    chat.append("a", "b")
    return {
        "model": model,
        "session": session,
        "answer": answer,
        "points": answer.points,
        "chat": chat,
    }


def test_objects_are_freed_in_any_order():
    for order in itertools.islice(itertools.permutations(range(5)), 0, 120, 11):
        things = make_all()
        names = list(things)
        for i in order:
            things[names[i]] = None
        gc.collect()


def test_answer_and_points_outlive_session_and_model():
    things = make_all()
    things["session"].close()
    things["model"].close()
    del things["session"], things["model"]
    gc.collect()
    assert things["answer"].text and [p.text for p in things["points"]]
    with sot.Model(DEMO) as model, sot.Session(model) as session:
        again = session.expand(QUESTION, things["points"], max_point_tokens=4)
    assert again.text == things["answer"].text


def test_session_outlives_model():
    with sot.Model(DEMO) as model:
        session = sot.Session(model, n_ctx=512)
    assert session.generate(QUESTION, **SHORT).text
    with pytest.raises(sot.ClosedError, match="model was closed"):
        model.tokenize("a")
    with pytest.raises(sot.ClosedError):
        sot.Session(model)


def test_copied_model_does_not_need_its_file(tmp_path):
    path = tmp_path / "demo.gguf"
    path.write_bytes(DEMO.read_bytes())
    with sot.Model(path, copy=True) as model, sot.Session(model, n_ctx=512) as session:
        path.write_bytes(b"")
        assert session.generate(QUESTION, **SHORT).text


def test_locked_model_is_refused_or_answers():
    try:
        model = sot.Model(DEMO, lock=True)
    except sot.OutOfMemoryError as error:
        assert "lock" in str(error)
        return
    with sot.Session(model, n_ctx=512) as session:
        assert session.generate(QUESTION, **SHORT).text


def test_cycles_are_collected(model):
    class Host:
        pass

    host = Host()
    host.session = sot.Session(model, n_threads=1, n_ctx=512)
    host.on_event = lambda event, host=host: None
    host.session.generate(QUESTION, on_event=host.on_event, **SHORT)
    host.stream = host.session.stream(QUESTION)
    gone = weakref.ref(host.session._owned)
    del host
    gc.collect()
    deadline = time.monotonic() + 10
    while gone() is not None and time.monotonic() < deadline:
        time.sleep(0.01)  # the stream's call lets go of the session when it has ended
    assert gone() is None


def test_generating_leaves_no_cycles(own_session):
    own_session.generate(QUESTION, **SHORT)
    gc.collect()
    gc.disable()
    try:
        own_session.generate(QUESTION, on_event=lambda event: None, **SHORT)
        list(own_session.stream(QUESTION, **SHORT))
        alive = [o for o in gc.get_objects() if type(o).__module__ == "sot._owned"]
        before = len(alive)
        del alive
        gc.collect()
        alive = [o for o in gc.get_objects() if type(o).__module__ == "sot._owned"]
        assert len(alive) == before
    finally:
        gc.enable()


@pytest.mark.parametrize("cls", [sot.Model, sot.Session, sot.Chat])
def test_closing_twice_is_harmless(model, cls):
    made = {
        sot.Model: lambda: sot.Model(DEMO),
        sot.Session: lambda: sot.Session(model),
        sot.Chat: sot.Chat,
    }[cls]()
    with made:
        made.close()
    made.close()


@pytest.mark.parametrize(
    "name, call",
    [
        ("sot_tokenize", lambda model: model.tokenize("a")),
        ("sot_detokenize", lambda model: model.detokenize([5])),
        ("sot_session_create", lambda model: sot.Session(model, n_threads=1, n_ctx=64)),
    ],
    ids=["tokenize", "detokenize", "session"],
)
def test_closing_model_in_use_frees_it_behind_the_call(monkeypatch, name, call):
    """As close() in another thread does while the library, which has no lock held, is in a call."""
    real, seen = _library.library(), []

    class Closing:
        def __getattr__(self, wanted):
            function = getattr(real, wanted)
            return closing_first(function) if wanted == name else function

    def closing_first(function):
        def closed_then_called(*arguments):
            model.close()
            seen.append(gone() is not None)
            return function(*arguments) if seen[-1] else 0

        return closed_then_called

    model = sot.Model(DEMO)
    gone = weakref.ref(model._owned)
    with monkeypatch.context() as patched:
        patched.setattr(_library, "_loaded", Closing())
        made = call(model)
    assert made is not None and seen == [True]
    del made
    assert gone() is None


def test_object_that_was_never_finished_goes_silently():
    _owned.Owned.__new__(_owned.Owned).__del__()


@pytest.mark.parametrize("copying", [copy.deepcopy, pickle.dumps])
def test_copying_is_refused(model, own_session, copying):
    for thing in (model, own_session, own_session._owned, sot.Chat()):
        with pytest.raises(TypeError, match="pickle"):
            copying(thing)


def test_exit_with_everything_alive_is_clean(program):
    out = program(
        """
import sot
model = sot.Model("examples/model/demo.gguf")
session = sot.Session(model)
chat = sot.Chat()
answer = chat.generate(session, "Why?", max_points=1, max_point_tokens=2)
stream = session.stream("How?", mode="normal", ignore_stops=True, max_tokens=900)
print(next(stream).stage.name)
"""
    )
    assert out == "NORMAL\n"


def test_exit_from_callback_is_clean(program):
    out = program(
        """
import sot, sys
session = sot.Session(sot.Model("examples/model/demo.gguf"))
session.generate("How?", on_event=lambda event: sys.exit(0))
"""
    )
    assert out == ""


FORK = """
import gc, os, sys, signal, sot
signal.alarm(50)
model = sot.Model("examples/model/demo.gguf")
session = sot.Session(model, n_threads=2)
answer = session.generate("Why?", max_points=2, max_point_tokens=4)
chat = sot.Chat()
chat.append("a", "b")
def in_child(check):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            check()
            code = 0
        finally:
            sys.stderr.flush()
            if code or "hard" in sys.argv:
                os._exit(code)
            sys.exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


def test_child_of_fork_refuses_session_and_frees_harmlessly(program):
    program(
        FORK
        + """
def check():
    global session, model, answer, chat
    for call in (lambda: session.generate("Why?"), lambda: session.logits([1]),
                 lambda: list(session.stream("Why?")), lambda: chat.generate(session, "Why?")):
        try:
            call()
        except sot.ForkError as error:
            assert "before" in str(error) or "forked" in str(error), error
        else:
            raise AssertionError("not refused")
    assert len(chat) == 1 and answer.points[0].index == "1"
    # glibc happens to get away with joining threads that are not there; others need not.
    freed = []
    session._owned._free = model._owned._free = freed.append
    session.cancel()
    session.close()
    del session, model, answer, chat
    gc.collect()
    assert not freed
in_child(check)
assert session.generate("Why?", max_points=2, max_point_tokens=4).text == answer.text
"""
    )


def test_child_of_fork_makes_session_of_its_own_on_model(program):
    program(
        FORK
        + """
def check():
    with sot.Session(model, n_threads=2) as own:
        assert own.generate("Why?", max_points=2, max_point_tokens=4).text == answer.text
        assert own.expand("Why?", answer.points, max_point_tokens=4).text == answer.text
in_child(check)
in_child(check)
"""
    )


def test_fork_while_a_call_runs(program):
    program(
        FORK
        + """
stream = session.stream("How?", mode="normal", ignore_stops=True, max_tokens=60)
next(stream)
def check():
    try:
        next(stream)
    except sot.ForkError:
        pass
    else:
        raise AssertionError("not refused")
    stream.close()
in_child(check)
assert len(list(stream)) > 10 and stream.answer.finish == sot.Finish.LENGTH
# From a callback, whose reply the child would wait for in vain.
pid = []
def on_event(event):
    if not pid:
        pid.append(os.fork())
try:
    session.generate("Why?", max_points=1, on_event=on_event)
except sot.ForkError:
    os._exit(0 if pid[0] == 0 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid[0], 0)[1]) == 0
"""
    )


def test_child_of_fork_reads_chat_that_was_in_use(program):
    """Whether another thread was in a method, or a round was being generated."""
    program(
        FORK
        + """
import threading
held, go_on = threading.Event(), threading.Event()
def hold():
    with chat._lock:
        held.set()
        go_on.wait()
thread = threading.Thread(target=hold)
thread.start()
held.wait()
def check():
    signal.alarm(20)
    assert list(chat) == [("a", "b")]
    chat.append("c", "d")
in_child(check)
go_on.set()
thread.join()
with chat.stream(session, "How?", mode="normal", ignore_stops=True, max_tokens=900) as stream:
    next(stream)
    def check():
        assert list(chat) == [("a", "b")]
        try:
            chat.append("c", "d")
        except sot.BusyError:
            return
        raise AssertionError("not refused")
    in_child(check)
assert list(chat) == [("a", "b")]
"""
    )


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc/self/statm here")
def test_answers_leave_no_memory_behind(program):
    """300 answers by all ways, after 60 for warming up: less than 1 MB more is resident."""
    out = program(
        """
import os, sot
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE")
model = sot.Model("examples/model/demo.gguf")
session = sot.Session(model, n_threads=1, n_ctx=1024)
prompts = sot.Prompts("{request}[ROLESWITCHING assistant:]1.",
                      "{request}{outline}{point}[ROLESWITCHING assistant:]{point_outline}")
options = dict(max_points=2, max_skeleton_tokens=3, max_point_tokens=2, prompts=prompts)
history = [("What is tea? ", "A drink.")]
def ask(i):
    if i % 3 == 0:
        session.generate("Why?", on_event=lambda event: None, history=history, **options)
    elif i % 3 == 1:
        for event in session.stream("How?", stop_strings=["zz", "yy"], **options):
            if i % 2 and isinstance(event, sot.PointEvent):
                break
    else:
        try:
            session.generate("How?", on_event=lambda event: 1, **options)
        except sot.CancelledError as error:
            assert error.partial is not None
        session.logits([1, 2, i])
        sot.Chat().generate(session, "Why?", mode="normal", max_tokens=2)
for i in range(60):
    ask(i)
before = resident()
for i in range(300):
    ask(i)
print(resident() - before)
""",
        timeout=120,
    )
    assert int(out) < 1 << 20
