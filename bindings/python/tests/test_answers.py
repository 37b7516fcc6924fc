"""Answers are those of the C program, stage by stage and option by option."""

import json
import os
import subprocess

import pytest
from conftest import DEMO, QUESTION, ROOT

import sot

PROGRAM = ROOT / os.environ.get("SOT_BUILD_DIR", "build") / "examples" / "sot"
NO_PROGRAM = "no C program to compare with at {}: build it or set SOT_BUILD_DIR".format(PROGRAM)


def of_program(question, *arguments):
    command = [str(PROGRAM), "ask", "-m", str(DEMO), "--json", "-q", *arguments, question]
    return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)


@pytest.mark.skipif(not PROGRAM.exists(), reason=NO_PROGRAM)
@pytest.mark.parametrize(
    "question, arguments, options",
    [
        (QUESTION, [], {}),
        ("What is a good picnic?", ["--mode", "normal"], {"mode": "normal"}),
        (QUESTION, ["--max-points", "2"], {"max_points": 2}),
        (
            "How do I plan a trip?",
            ["--temperature", "0.9", "--top-k", "20", "--top-p", "0.9", "--seed", "7"],
            {"temperature": 0.9, "top_k": 20, "top_p": 0.9, "seed": 7},
        ),
        (
            QUESTION,
            ["--wording", "zero-shot", "--max-skeleton-tokens", "30"],
            {"wording": "zero-shot", "max_skeleton_tokens": 30},
        ),
        (
            QUESTION,
            ["--template", "llama2-chat", "--system", "Be brief.", "--max-point-tokens", "9"],
            {"conversation": "llama2-chat", "system_message": "Be brief.", "max_point_tokens": 9},
        ),
        (QUESTION, ["--repetition-penalty", "1.3"], {"repetition_penalty": 1.3}),
        (
            "Wie heißt das? ✓",
            ["--mode", "routed", "--router", "always"],
            {"mode": sot.Mode.ROUTED, "router": "always"},
        ),
    ],
)
def test_answer_is_that_of_program(session, question, arguments, options):
    expected = of_program(question, *arguments)
    answer = session.generate(question, **options)
    assert answer.text == expected["text"]
    assert answer.finish.name.lower() == expected["finish"]
    points = [
        {
            "index": point.index,
            "text": point.text,
            "expansion": expansion.text,
            "finish": expansion.finish.name.lower(),
            "tokens": expansion.n_tokens,
        }
        for point, expansion in zip(answer.points or (), answer.expansions)
    ]
    assert points == expected.get("points", [])
    for i, stage in enumerate(("normal", "skeleton", "expand")):
        assert answer.stats.decode_tokens[i] == expected["stats"][stage]["decode_tokens"]


def test_two_stages_are_generate(session):
    whole = session.generate(QUESTION)
    points = session.skeleton(QUESTION)
    assert points == whole.points
    assert session.expand(QUESTION, points).text == whole.text
    # An answer's own points, and parsed ones, expand to the same.
    assert session.expand(QUESTION, whole.points).expansions == whole.expansions
    parsed = sot.Points.parse(points.source)
    assert session.expand(QUESTION, parsed).text == whole.text


def test_normal_answer_has_no_points(session):
    answer = session.generate(QUESTION, mode="normal", max_tokens=5)
    assert answer.points is None and answer.expansions == () and answer.decision is None
    assert answer.finish == sot.Finish.LENGTH and answer.stats.decode_tokens[0] == 5
    assert str(answer) == answer.text


def test_points_parse_keeps_first_of_each_index():
    points = sot.Points.parse("1. Dim Sum. \n2. Tea\n1. Again\n3. Rice", max_points=2)
    assert list(points) == [sot.Point("1", "Dim Sum. "), sot.Point("2", "Tea")]
    assert points.dropped == 1 and points[-1].text == "Tea" and len(points[0:5]) == 2
    assert len(sot.Points.parse(b"\xff nothing \x00 here")) == 0


def test_point_limits_and_stops_hold(session):
    answer = session.generate(QUESTION, point_limits=[3, 0, 4], max_points=3)
    assert [e.n_tokens for e in answer.expansions][0::2] == [3, 4]
    assert [e.finish for e in answer.expansions][0::2] == [sot.Finish.LENGTH] * 2
    whole = session.generate(QUESTION).expansions[0].text
    word = whole.split()[3]
    cut = session.generate(QUESTION, stop_strings=[word, "§"]).expansions[0].text
    assert cut == whole[: whole.index(word)]
    stop = session.model.tokenize(QUESTION)[0]
    assert session.generate("Say: " + QUESTION, mode="normal", stop_ids=[stop]).text is not None


def test_ignore_stops_runs_to_limit(session):
    options = {"ignore_stops": True, "max_point_tokens": 70, "forced_skeleton": " A.\n2. B."}
    answer = session.generate(QUESTION, **options)
    assert [e.n_tokens for e in answer.expansions] == [70, 70]
    assert [p.text for p in answer.points] == ["A.", "B."]


def test_history_and_templates_change_prompts(session):
    def tokens(**options):
        stats = session.generate("Why?", mode="normal", max_tokens=1, **options).stats
        return stats.prefill_tokens[0] + stats.reused_tokens[0]

    plain = tokens(conversation="none")
    assert tokens(conversation=sot.Conversation(user_tag="I ask you: ")) > plain
    rounds = [("What is tea?", "A drink."), ("And coffee?", "Another.")]
    assert tokens(conversation="vicuna", history=rounds) > tokens(conversation="vicuna")
    same = sot.Conversation("USER: ", " ", "ASSISTANT:", "</s>", answer_gap=" ")
    assert tokens(conversation=same, history=rounds) == tokens(
        conversation="vicuna", history=rounds
    )


def test_prompts_of_ones_own_are_used(session):
    short = sot.Prompts("Sketch: {request}", "{request}{outline}{point}{point_outline}")
    stats = session.generate("Why?", prompts=short, max_skeleton_tokens=4).stats
    usual = session.generate("Why?", max_skeleton_tokens=4).stats
    assert stats.prefill_tokens[1] + stats.reused_tokens[1] < 60
    assert usual.prefill_tokens[1] + usual.reused_tokens[1] > 200


def test_prompts_load_reads_every_member(tmp_path):
    path = tmp_path / "prompts.json"
    texts = {"outline_prompt": "{request} ✓", "point_prompt": "{point}{point_outline}"}
    path.write_text(json.dumps(dict(texts, router_prompt="{request}?", chained=True)))
    assert sot.Prompts.load(path) == sot.Prompts(*texts.values(), "{request}?", True)
    texts["point_prompt"] += "{request}{outline}"
    path.write_text(json.dumps(texts))
    assert sot.Prompts.load(path) == sot.Prompts(*texts.values())


def test_tokens_come_back_as_text(model):
    text = "Hello wörld, 你好 ✓"
    tokens = model.tokenize(text, bos=True)
    assert tokens[0] == model.info.bos_id and tokens[1:] == model.tokenize(text)
    assert model.detokenize(tokens) == text
    assert model.tokenize("</s>", special=True)[-1] == model.info.eos_id
    assert model.detokenize([model.info.eos_id], special=True) == "</s>"
    assert model.tokenize("") == [] and model.detokenize([]) == ""
    long = "word " * 3000
    assert model.detokenize(model.tokenize(long)) == long


def test_logits_are_a_view_whose_largest_is_next_token(session):
    prompt = session.model.tokenize("USER: Why? ASSISTANT:", bos=True)
    view = session.logits(prompt)
    assert view.format == "f" and view.shape == (session.model.info.n_vocab,)
    best = max(range(len(view)), key=view.__getitem__)
    answer = session.generate(
        "Why?", mode="normal", max_tokens=1, conversation="vicuna", ignore_stops=True
    )
    assert session.model.detokenize([best]).strip() == answer.text.strip()
    view[0] = 1.5  # its memory is the caller's
    assert view[0] == 1.5


def test_logits_array_shares_memory_with_view(session):
    numpy = pytest.importorskip("numpy")
    array = session.logits_array([1, 5, 9])
    assert array.dtype == numpy.float32 and array.shape == (session.model.info.n_vocab,)
    view = session.logits(numpy.array([1, 5, 9], dtype=numpy.int32))
    assert numpy.array_equal(array, numpy.asarray(view))
    assert numpy.shares_memory(numpy.asarray(view), view)


def test_saved_model_answers_alike(session, tmp_path):
    seen = []
    session.model.save(tmp_path / "copy.gguf", on_progress=lambda done, all: seen.append(done))
    assert seen == sorted(seen) and seen
    with sot.Model(tmp_path / "copy.gguf", device="cpu") as copy, sot.Session(copy) as other:
        assert other.generate(QUESTION).text == session.generate(QUESTION).text


def test_measure_gives_a_time_per_run(session):
    times = session.measure(n_sequences=2, n_past=64, n_repeats=3)
    assert len(times) == 3 and all(t > 0 for t in times)


def test_answer_is_a_value(session):
    import copy
    import pickle

    answer = session.generate(QUESTION, max_points=2, max_point_tokens=4)
    assert pickle.loads(pickle.dumps(answer)) == answer == copy.deepcopy(answer)
