"""Events: their order, that they make up the answer, and both kinds of iteration."""

import asyncio
import contextlib

import pytest
from conftest import QUESTION

import sot


def check_events(events, answer):
    """What sot.h promises of a SoT answer's events."""
    stages = [e.stage for e in events if isinstance(e, sot.StageEvent)]
    assert stages == [sot.Stage.SKELETON, sot.Stage.EXPAND]
    source = "".join(e.text for e in events if isinstance(e, sot.TextEvent))
    assert source == answer.points.source
    points = [e for e in events if isinstance(e, sot.PointEvent)]
    assert [sot.Point(e.index, e.text) for e in points] == list(answer.points)
    assert [e.i_point for e in points] == list(range(len(points)))
    for i, expansion in enumerate(answer.expansions):
        own = [e for e in events if getattr(e, "i_point", None) == i]
        assert isinstance(own[0], sot.PointEvent) and isinstance(own[-1], sot.PointEndEvent)
        assert own[-1].finish == expansion.finish
        assert "".join(e.text for e in own[1:-1]) == expansion.text


def without_prefill(events):
    """How a prompt is cut into passes depends on what the session has in pages."""
    return [e for e in events if not isinstance(e, sot.PrefillEvent)]


def test_stream_of_events_makes_up_answer(session):
    stream = session.stream(QUESTION)
    assert stream.answer is None
    events = list(stream)
    assert stream.answer.text == session.generate(QUESTION).text
    check_events(events, stream.answer)
    assert list(stream) == []


def test_callback_sees_events_of_stream_in_calling_thread(session):
    import threading

    seen = []

    def on_event(event):
        assert threading.current_thread() is threading.main_thread()
        seen.append(event)

    answer = session.generate(QUESTION, on_event=on_event)
    check_events(seen, answer)
    assert without_prefill(seen) == without_prefill(list(session.stream(QUESTION)))


def test_prefill_events_count_up(session):
    seen = []
    session.generate("word " * 300, mode="normal", max_tokens=1, on_event=seen.append)
    done = [(e.n_done, e.n_total) for e in seen if isinstance(e, sot.PrefillEvent)]
    assert len(done) > 2 and done == sorted(done) and done[-1][0] == done[-1][1]


def test_async_for_sees_the_same(session):
    async def collect():
        stream = session.stream(QUESTION)
        events = [event async for event in stream]
        return events, stream.answer

    events, answer = asyncio.run(collect())
    check_events(events, answer)
    assert answer.text == session.generate(QUESTION).text


def test_async_streams_of_two_sessions_interleave(model):
    async def read(name, session, seen):
        async for event in session.stream(QUESTION):
            seen.append((name, event))

    async def both():
        seen = []
        with sot.Session(model, n_threads=1) as a, sot.Session(model, n_threads=1) as b:
            await asyncio.gather(read("a", a, seen), read("b", b, seen))
        return seen

    seen = asyncio.run(both())
    own = [[e for n, e in seen if n == name] for name in "ab"]
    assert without_prefill(own[0]) == without_prefill(own[1])
    assert seen.index(("b", own[1][0])) < len(own[0])


def test_async_for_lets_other_tasks_run(session):
    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticker = asyncio.ensure_future(tick())
        count = 0
        async for _ in session.stream(QUESTION, max_points=1, max_point_tokens=4):
            count += 1
        ticker.cancel()
        return ticks, count

    ticks, count = asyncio.run(main())
    assert ticks >= count > 10


def test_cancelled_task_frees_session(session):
    async def main():
        async def read():
            async for _ in session.stream(QUESTION, ignore_stops=True):
                pass

        task = asyncio.ensure_future(read())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return session.generate(QUESTION, max_points=1)

    assert len(asyncio.run(main()).points) == 1


def test_exception_of_router_comes_out_of_async_for(session):
    async def main():
        async for _ in session.stream("Why?", mode="routed", router=lambda question: 1 // 0):
            pass

    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())
    assert session.generate(QUESTION, max_points=1, max_point_tokens=2).points


def test_async_with_closes(session):
    async def main():
        async with session.stream(QUESTION) as stream:
            async for event in stream:
                if isinstance(event, sot.ExpansionEvent):
                    break
        return stream

    stream = asyncio.run(main())
    assert stream.answer.finish == sot.Finish.CANCELLED
    assert session.generate(QUESTION).finish == sot.Finish.STOP


def test_cancelled_task_keeps_partial_answer_behind_async_with(session):
    async def main():
        async def read():
            async with streams[0] as stream:
                async for event in stream:
                    if isinstance(event, sot.PointEvent):
                        started.set()

        streams = [session.stream(QUESTION, ignore_stops=True)]
        started = asyncio.Event()
        task = asyncio.ensure_future(read())
        await asyncio.wait_for(started.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return streams[0].answer

    answer = asyncio.run(main())
    assert answer.finish == sot.Finish.CANCELLED and answer.points


@pytest.mark.parametrize("in_thread", [False, True], ids=["task", "thread"])
def test_close_by_another_ends_waiting_task(session, in_thread):
    async def main():
        async def read():
            async for _ in stream:
                pass

        stream = session.stream(QUESTION, ignore_stops=True, mode="normal", max_tokens=900)
        task = asyncio.ensure_future(read())
        while not stream._call.mail.sleepers and not task.done():
            await asyncio.sleep(0)
        if in_thread:
            await asyncio.get_running_loop().run_in_executor(None, stream.close)
        else:
            await stream.aclose()
        with contextlib.suppress(sot.CancelledError):  # which one of both may be told
            await asyncio.wait_for(task, 20)
        return stream.answer

    assert asyncio.run(main()).finish == sot.Finish.CANCELLED


def test_second_task_on_a_stream_is_refused(session):
    async def main():
        async with session.stream(QUESTION) as stream:
            first = asyncio.ensure_future(stream.__anext__())
            while not stream._call.mail.sleepers and not first.done():
                await asyncio.sleep(0)
            if not first.done():
                with pytest.raises(RuntimeError, match="another task"):
                    await stream.__anext__()
            return await first

    assert asyncio.run(main()) == sot.StageEvent(sot.Stage.SKELETON)


def test_break_frees_session_at_once(session):
    for _ in range(5):
        for event in session.stream(QUESTION):
            if isinstance(event, sot.TextEvent):
                break
        assert session.generate(QUESTION, max_points=1, max_point_tokens=2).points


def test_close_keeps_partial_answer(session):
    with session.stream(QUESTION) as stream:
        for event in stream:
            if isinstance(event, sot.ExpansionEvent):
                break
    assert stream.answer.finish == sot.Finish.CANCELLED
    assert stream.answer.points
    assert list(stream) == []
    stream.close()


def test_close_in_another_thread_ends_loop(session):
    import threading

    stream = session.stream(QUESTION)
    with contextlib.suppress(sot.CancelledError):  # which one of both threads may be told
        for _ in stream:
            thread = threading.Thread(target=stream.close)
            thread.start()
    thread.join()
    assert stream.answer.finish == sot.Finish.CANCELLED


def test_stream_closed_before_it_began_is_cancelled(session):
    for _ in range(20):
        stream = session.stream(QUESTION)
        stream.cancel()
        with pytest.raises(sot.CancelledError):
            list(stream)
        session.stream(QUESTION).close()


def test_stream_raises_what_generate_does_at_its_end(session):
    stream = session.stream("word " * 2000, mode="normal")
    with pytest.raises(sot.ContextFullError):
        list(stream)
    with pytest.raises(sot.ArgumentError, match="temperature"):
        list(session.stream(QUESTION, temperature=-1))
    assert list(stream) == []


def test_stream_refuses_a_callback(session):
    with pytest.raises(TypeError, match="on_event"):
        session.stream(QUESTION, on_event=print)


def test_router_function_runs_where_stream_is_read(session):
    import threading

    asked = []

    def route(question):
        asked.append((question, threading.current_thread() is threading.main_thread()))
        return True

    events = list(session.stream("Why?", mode="routed", router=route, max_points=1))
    decisions = [e.decision for e in events if isinstance(e, sot.DecisionEvent)]
    assert asked == [("Why?", True)]
    assert [d.label for d in decisions] == [sot.Label.SOT]
