"""Each failure is an exception of its status's class, with the library's sentence."""

import pickle

import pytest
from conftest import DEMO, QUESTION, ROOT

import sot
from sot import _constants, _errors, _layout
from sot._events import event_of


@pytest.mark.parametrize(
    "call, cls, builtin, sentence",
    [
        (lambda s, p: sot.Model(p / "none.gguf"), sot.FileError, OSError, "none.gguf"),
        (lambda s, p: sot.Model(p / "bad.gguf"), sot.FormatError, ValueError, "bad.gguf"),
        (lambda s, p: sot.Model("random:7x1"), sot.ArgumentError, ValueError, "random:7x1"),
        (lambda s, p: sot.Model(DEMO, device="tpu"), sot.ArgumentError, ValueError, "tpu"),
        (lambda s, p: sot.Model(DEMO, device="cuda:7"), sot.DeviceError, RuntimeError, "cuda"),
        (lambda s, p: s.model.save(p / "no" / "x.gguf"), sot.FileError, OSError, "x.gguf"),
        (
            lambda s, p: sot.Session(s.model, isa="neon"),
            sot.UnsupportedError,
            NotImplementedError,
            "neon",
        ),
        (lambda s, p: sot.Session(s.model, n_threads=999), sot.ArgumentError, ValueError, "999"),
        (lambda s, p: s.generate(""), sot.ArgumentError, ValueError, "question"),
        (lambda s, p: s.generate("a", top_p=7.0), sot.ArgumentError, ValueError, "top_p"),
        (lambda s, p: s.generate("a", wording="bad"), sot.ArgumentError, ValueError, "bad"),
        (lambda s, p: s.generate("a", conversation="x"), sot.ArgumentError, ValueError, "x"),
        (
            lambda s, p: s.generate("a", prompts=sot.Prompts("no place", "{point}")),
            sot.ArgumentError,
            ValueError,
            "{request}",
        ),
        (
            lambda s, p: s.generate("a", mode="routed", router="trained"),
            sot.ArgumentError,
            ValueError,
            "trained",
        ),
        (lambda s, p: s.logits([]), sot.ArgumentError, ValueError, "count is 0"),
        (lambda s, p: s.logits([10**6]), sot.ArgumentError, ValueError, "1000000"),
        (lambda s, p: s.logits([1] * 5000), sot.ContextFullError, RuntimeError, "5000"),
        (lambda s, p: s.model.detokenize([10**6]), sot.ArgumentError, ValueError, "1000000"),
        (lambda s, p: sot.Prompts.load(p / "bad.gguf"), sot.FormatError, ValueError, "bad.gguf"),
        (lambda s, p: sot.Router.load(p / "bad.gguf"), sot.FormatError, ValueError, "bad.gguf"),
        (lambda s, p: sot.Chat.load(p / "bad.gguf"), sot.FormatError, ValueError, "bad.gguf"),
        (lambda s, p: sot.Chat.load(p / "none"), sot.FileError, OSError, "none"),
        (lambda s, p: sot.Profile.load(p / "bad.gguf"), sot.FormatError, ValueError, "bad.gguf"),
        (lambda s, p: sot.Chat().append("", "a"), sot.ArgumentError, ValueError, "question"),
    ],
)
def test_failure_is_exception_of_its_status(session, tmp_path, call, cls, builtin, sentence):
    (tmp_path / "bad.gguf").write_bytes(b"no model at all, but long enough to be read as one")
    with pytest.raises(cls) as caught:
        call(session, tmp_path)
    error = caught.value
    assert type(error) is cls and isinstance(error, (sot.SotError, builtin))
    assert isinstance(error, builtin) and sentence in str(error)
    assert _errors.BY_STATUS[error.status] is cls


def test_context_full_has_partial_answer(model):
    with sot.Session(model, n_ctx=64) as small:
        with pytest.raises(sot.ContextFullError) as caught:
            small.generate("Why?", mode="normal", ignore_stops=True)
    partial = caught.value.partial
    assert partial.text and partial.finish == sot.Finish.CONTEXT


def test_unknown_status_of_newer_library_is_sot_error():
    error = _errors.error_of(-99, "what it says")
    assert type(error) is sot.SotError and "-99" in str(error)


def test_unknown_number_of_newer_library_is_kept():
    event = _layout.sot_event(type=_constants.EventType.POINT_END, i_point=2, finish=77)
    ended = event_of(event)
    assert ended == sot.PointEndEvent(2, sot.Finish(77)) and ended.finish == 77
    assert ended.finish.name == "UNKNOWN_77" and pickle.loads(pickle.dumps(ended)) == ended
    assert sot.Finish(1) is sot.Finish.STOP and 77 not in list(sot.Finish)
    with pytest.raises(ValueError):
        sot.Finish("STOP")


@pytest.mark.parametrize(
    "options, error",
    [
        ({"max_tokens": -1}, ValueError),
        ({"max_tokens": 1 << 32}, ValueError),
        ({"max_tokens": 1.5}, TypeError),
        ({"seed": 1 << 64}, ValueError),
        ({"point_limits": [-1]}, ValueError),
        ({"stop_ids": [1 << 31]}, ValueError),
        ({"stop_strings": "one"}, TypeError),
        ({"stop_strings": [b"x"]}, TypeError),
        ({"stop_strings": 3}, TypeError),
        ({"stop_ids": 3}, TypeError),
        ({"temperature": "0.7"}, TypeError),
        ({"temperature": bytearray(b"1")}, TypeError),
        ({"temperature": memoryview(b"1")}, TypeError),
        ({"temperature": 10**400}, sot.ArgumentError),
        ({"system_message": "a\0b"}, ValueError),
        ({"wording": 3}, TypeError),
        ({"mode": "best"}, ValueError),
        ({"mode": 2}, ValueError),
        ({"router": "nobody"}, ValueError),
        ({"router": 3}, TypeError),
        ({"on_event": 3}, TypeError),
        ({"history": ["question", "answer"]}, TypeError),
        ({"history": [("question",)]}, ValueError),
        ({"history": 3}, TypeError),
        ({"prompts": "x"}, TypeError),
        ({"max_token": 3}, TypeError),
    ],
)
def test_wrong_option_is_refused_by_name(session, options, error):
    with pytest.raises(error, match=list(options)[0]):
        session.generate(QUESTION, **options)
    with pytest.raises(error):
        session.stream(QUESTION, **options)


def test_none_is_an_option_left_out(session):
    answer = session.generate("Why?", mode="normal", max_tokens=3, system_message=None, router=None)
    assert answer.stats.decode_tokens[0] <= 3


def test_question_with_nul_or_of_another_type_is_refused(session):
    with pytest.raises(sot.ArgumentError, match="NUL"):
        session.generate("a\0b")
    with pytest.raises(TypeError, match="question"):
        session.generate(b"bytes")


def test_session_parameters_are_checked(model):
    with pytest.raises(ValueError, match="n_ctx"):
        sot.Session(model, n_ctx=-5)
    with pytest.raises(TypeError, match="max_batch"):
        sot.Session(model, max_batch="many")


ROUTER = ROOT / "examples" / "router" / "lima.router"
WITH_TEXT = [
    ("question", lambda s, text: s.generate(text)),
    ("question", lambda s, text: s.stream(text)),
    ("question", lambda s, text: s.skeleton(text)),
    ("question", lambda s, text: s.route(text)),
    ("question", lambda s, text: sot.Chat().generate(s, text)),
    ("answer", lambda s, text: sot.Chat().append("a", text)),
    ("system_message", lambda s, text: s.generate("a", system_message=text)),
    ("stop_strings\\[1\\]", lambda s, text: s.generate("a", stop_strings=["a", text])),
    ("history\\[1\\]\\[0\\]", lambda s, text: s.generate("a", history=[("a", "b"), (text, "b")])),
    ("user_tag", lambda s, text: s.generate("a", conversation=sot.Conversation(text))),
    ("prompts.point", lambda s, text: s.generate("a", prompts=sot.Prompts("{request}", text))),
    ("text", lambda s, text: s.model.tokenize(text)),
    ("question", lambda s, text: sot.Router.load(ROUTER).classify(text)),
    ("device", lambda s, text: sot.Model(DEMO, device=text)),
    ("isa", lambda s, text: sot.Session(s.model, isa=text)),
    ("machine", lambda s, text: sot.Profile.measure(s, machine=text)),
]


@pytest.mark.parametrize("name, call", WITH_TEXT)
def test_text_that_is_none_is_refused_by_name(session, name, call):
    with pytest.raises(TypeError, match=name + ": a str is expected, not int"):
        call(session, 3)
    with pytest.raises(sot.ArgumentError, match=name + ".*position 2: surrogates not allowed"):
        call(session, "ab\udc80")


def test_path_that_is_none_is_refused_by_name():
    with pytest.raises(TypeError, match="path: expected str"):
        sot.Model(3)
    with pytest.raises(sot.ArgumentError, match="path.*position 1: surrogates not allowed"):
        sot.Model("a\ud800")


def test_points_parse_takes_any_text_but_nothing_else():
    assert [point.text for point in sot.Points.parse("1. a\ud800b")] == ["a\ufffd\ufffd\ufffdb"]
    with pytest.raises(TypeError, match="text: a str is expected, not int"):
        sot.Points.parse(3)


def test_wrong_object_is_refused_by_name(session):
    with pytest.raises(TypeError, match="points: a Points is expected, not list"):
        session.expand(QUESTION, ["1. a point"])
    with pytest.raises(TypeError, match="points: a Points is expected, not NoneType"):
        session.expand(QUESTION, None)
    with pytest.raises(TypeError, match="model: a Model is expected, not str"):
        sot.Session("demo.gguf")
    for call in (lambda: sot.Chat().generate("a", "b"), lambda: sot.Profile.measure("a")):
        with pytest.raises(TypeError, match="session: a Session is expected, not str"):
            call()


def test_file_error_has_its_sentence_alone():
    with pytest.raises(OSError) as caught:
        sot.Model("/none.gguf")
    error = caught.value
    assert str(error) == "/none.gguf: cannot be opened: No such file or directory"
    assert (error.errno, error.strerror, error.filename) == (None, None, None)
