"""sot-eval run from outside: what it is told, question files, what is recorded, runs that do not
agree, FastChat's format, what it shows. Runs that are stopped: test_sot_eval_stopped.py; statistics
and routing: test_sot_eval_numbers.py."""
import json
import os
import sys
import time
import unittest

from eval_run import MODES, PROGRAM, QUESTIONS, SHORT, Run, evaluate, read_lines, whole_run
from programs import DEMO, SHARED, TINY, needs_demo, sot
from terminal_screen import Terminal


class Arguments(Run):
    def test_command_absent_or_unknown_is_said(self):
        for arguments, names in [((), b"no command"), (("walk",), b"'walk'")]:
            done = evaluate(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, b""))
            self.assertIn(names, done.stderr)

    def test_version_and_help_go_to_standard_output(self):
        self.assertRegex(evaluate("--version").stdout, rb"^sot-eval \d+\.\d+\.\d+\n$")
        self.assertIn(b"sot-eval run", evaluate("--help").stdout)
        self.assertIn(b"--max-point-tokens N", evaluate("run", "--help").stdout)

    def test_option_unknown_or_without_value_is_named(self):
        self.refused("--fast", names="'--fast'", code=2)
        self.refused("-x", names="'-x'", code=2)
        self.refused("--quiet=1", names="--quiet", code=2)
        self.refused("--ids", names="--ids", code=2)
        self.refused("extra", names="'extra'", code=2)

    def test_value_out_of_range_is_named(self):
        for option, value in [("limit", "0"), ("max-tokens", "x"), ("top-p", "1.5"),
                              ("seed", "-1"), ("temperature", "hot")]:
            self.refused(f"--{option}={value}", names=f"--{option} '{value}'", code=2)

    def test_what_is_missing_is_named(self):
        for arguments, names in [(["-m", TINY, "-o", "x"], b"--questions"),
                                 (["-m", TINY, "--questions", "x"], b"-o DIR"),
                                 (["-o", "x", "--questions", "x"], b"-m PATH")]:
            done = evaluate("run", *arguments)
            self.assertEqual((done.returncode, done.stdout), (2, b""))
            self.assertIn(names, done.stderr)

    def test_mode_unknown_is_named(self):
        self.refused("--modes", "normal,fast", names="'fast'", code=2)
        self.refused("--modes", "", names="''", code=2)

    def test_what_the_library_refuses_is_its_sentence(self):
        self.refused("--template", "alpaca", names="alpaca", code=2)
        self.refused("--wording", "long", names="long", code=2)
        self.refused("--isa", "mmx", names="mmx", code=1)
        # What was refused is not in the way of what is put right.
        self.done("--limit", "1", model=TINY)


class QuestionFiles(Run):
    def wrong(self, content, names):
        self.write(self.questions, content)
        self.refused(names=f"{self.questions}: {names}", code=1)

    def test_line_that_is_wrong_is_named_with_its_number(self):
        good = '{"id": 1, "question": "Why?"}\n'
        self.wrong(good + '{"id": 2, "question": \n', "line 2: ")
        self.wrong(good + "\n[]\n", "line 3: an object")
        self.wrong('{"question": "Why?"}\n', 'line 1: "id"')
        self.wrong('{"id": "1", "question": "Why?"}\n', 'line 1: "id"')
        self.wrong('{"id": 1}\n', 'line 1: "question"')
        self.wrong('{"id": 1, "question": ""}\n', 'line 1: "question"')
        self.wrong(good + good, 'line 2: its "id"')
        self.wrong('{"id": 1, "question": "Why?", "suitable": 2}\n', 'line 1: "suitable"')
        self.wrong('{"id": 1, "question": "Why?", "difficulty": -1}\n', 'line 1: "difficulty"')
        self.wrong('{"id": 1, "question": "Why?", "category": 7}\n', 'line 1: "category"')
        self.wrong('{"question_id": 1, "turns": []}\n', 'line 1: "turns"')
        self.wrong('{"id": 1, "turns": ["Why?"]}\n', 'line 1: "question_id"')

    def test_file_absent_or_empty_is_named(self):
        self.wrong("", "there is no question")
        os.remove(self.questions)
        self.refused(names=self.questions, code=1)

    def test_selection_that_selects_nothing_is_refused(self):
        self.refused("--ids", "3,4", names="no question 4", code=2)
        for ids in ("", "3,", "x", "5-3", "3;4"):
            self.refused("--ids", ids, names=f"'{ids}'", code=2)
        self.refused("--category", "cooking", names="skills, places, causes", code=2)

    def test_selection_asks_what_it_says_and_a_later_run_adds(self):
        def asked():
            return [(r["mode"], r["question_id"]) for r in self.records()]
        self.done("--ids", "13,43-99", "--limit", "2", "--modes", "normal", model=TINY)
        self.assertEqual(asked(), [("normal", 13), ("normal", 43)])
        self.done("--category", "causes", "--modes", "normal", model=TINY)
        self.assertEqual(asked(), [("normal", 13), ("normal", 43), ("normal", 33), ("normal", 53)])

    def test_fastchat_questions_are_read_and_later_turns_counted(self):
        self.write(self.questions,
                   '{"question_id": 81, "category": "writing", "turns": ["Why?", "And now?"]}\n')
        done = self.done("--modes", "normal", model=TINY)
        self.assertIn(b"1 others are left out", done.stderr)
        record, = self.records()
        self.assertEqual((record["question_id"], record["category"], record["question"],
                          record["suitable"]), (81, "writing", "Why?", None))

    def test_shared_question_files_are_read(self):
        for name, n in [("vicuna80", 80), ("wizardlm218", 218)]:
            path = os.path.join(SHARED, "data", name + ".jsonl")
            if not os.path.isfile(path):
                print(f"SKIPPED {name}: no {path}", file=sys.stderr)
                continue
            self.questions, self.out = path, self.path(name)
            self.done("--modes", "normal", "--max-tokens", "1", model=TINY)
            records = {r["question_id"]: r for r in self.records()}
            self.assertEqual(len(records), n)
            for question in read_lines(path):
                record = records[question["id"]]
                for member in ("category", "question", "suitable"):
                    self.assertEqual(record[member], question[member])
                self.assertEqual(record["difficulty"], question.get("difficulty"))


@needs_demo
class Records(Run):
    def test_every_question_is_recorded_once_per_mode_in_order(self):
        records, _ = whole_run()
        self.assertEqual([(r["mode"], r["question_id"]) for r in records],
                         [(mode, q["id"]) for mode in MODES for q in QUESTIONS])
        for record, question in zip(records, QUESTIONS * 2):
            for member in ("category", "question", "difficulty", "suitable"):
                self.assertEqual(record[member], question[member])

    def test_record_is_what_sot_ask_says(self):
        records, _ = whole_run()
        for record in (records[0], records[len(QUESTIONS)]):
            done = sot("ask", "-m", DEMO, "--json", "--mode", record["mode"], *SHORT,
                       record["question"])
            asked = json.loads(done.stdout)
            self.assertEqual(record["answer"], asked["text"])
            self.assertEqual(record["finish"], asked["finish"])
            self.assertEqual(record["ran"], asked["mode"])
            self.assertEqual(record["skeleton"], (asked["skeleton"] or {}).get("source"))
            self.assertEqual([(p["index"], p["outline"], p["text"], p["tokens"], p["finish"])
                              for p in record["points"]],
                             [(p["index"], p["text"], p["expansion"], p["tokens"], p["finish"])
                              for p in asked["points"]])
            self.assertEqual(set(record["stats"]), set(asked["stats"]))
            self.assertEqual(record["n_tokens"], sum(asked["stats"][stage]["decode_tokens"]
                                                     for stage in ("normal", "skeleton", "expand")))
            tokens = sot("tokenize", "-m", DEMO, record["answer"]).stdout.split()
            self.assertEqual(record["answer_tokens"], len(tokens))

    def test_peak_bytes_are_weights_session_and_pages_in_use(self):
        records, _ = whole_run()
        info = json.loads(sot("info", "--json", "-m", DEMO).stdout)
        kv_tokens = 1024 + 256 * 16 + 1024  # the default of sot_session_params for this context
        token_bytes = 2 * 2 * info["n_layer"] * info["n_kv"] * info["d_head"]
        for record in records:
            stats = record["stats"]
            self.assertEqual(record["peak_bytes"],
                             2 * info["n_parameters"] + stats["session_bytes"] -
                             token_bytes * (kv_tokens - stats["peak_page_tokens"]))

    def test_question_that_fails_is_recorded_and_the_run_goes_on(self):
        # The two-shot prompt has more bytes than this context; a byte is a token of this model.
        self.done("--ctx", "200", "--limit", "2", model=TINY)
        records = self.records()
        self.assertEqual([r["status"] for r in records], ["SOT_OK"] * 2 +
                         ["SOT_ERR_CONTEXT_FULL"] * 2)
        for record in records[2:]:
            self.assertEqual((record["finish"], record["points"]), ("context", []))
            self.assertIn("200", record["error"])
        again = self.done("--ctx", "200", "--limit", "2", model=TINY)
        self.assertIn(b"0 of them are new", again.stderr)

    def test_answers_are_in_fastchats_format(self):
        self.done("--ids", "13,23")
        self.done("--ids", "3")
        for mode in MODES:
            records = {r["question_id"]: r for r in self.records() if r["mode"] == mode}
            answers = read_lines(os.path.join(self.out, f"answers-{mode}.jsonl"))
            self.assertEqual([a["question_id"] for a in answers], [3, 13, 23])
            self.assertEqual(len({a["answer_id"] for a in answers}), 3)
            for answer in answers:
                self.assertEqual(set(answer), {"question_id", "answer_id", "model_id", "choices",
                                               "tstamp"})
                self.assertEqual(answer["model_id"], f"libsot-demo-{mode}")
                self.assertEqual(answer["choices"], [
                    {"index": 0, "turns": [records[answer["question_id"]]["answer"]]}])
                self.assertIsInstance(answer["tstamp"], float)
                self.assertLess(abs(answer["tstamp"] - time.time()), 3600)


class Disagreement(Run):
    def test_changed_parameters_are_refused_and_named(self):
        self.done("--modes", "normal", "--limit", "1", model=TINY)
        before = self.records()
        for arguments, names in [(["--max-point-tokens", "25"], "parameters.max_point_tokens is 24"),
                                 (["--temperature", "0.9"], "temperature is 0.0 there and now 0.9"),
                                 (["--seed", "7"], 'parameters.seed is "0"'),
                                 (["--template", "vicuna"], "parameters.template is null"),
                                 (["--system", "Be brief."], "parameters.system"),
                                 (["--ctx", "512"], "session.ctx"),
                                 (["--threads", "1", "--isa", "portable"], "session.")]:
            self.refused("--modes", "normal", *arguments, names=names, code=1)
        self.refused("--modes", "normal", model=TINY + "?seed=2", names="?seed=2", code=1)
        with open(self.questions, "a", encoding="utf-8") as file:
            file.write('{"id": 1000, "question": "Why?"}\n')
        self.refused("--modes", "normal", names="questions.digest", code=1)
        self.assertEqual(self.records(), before)

    def test_run_json_says_what_was_run(self):
        self.done("--modes", "normal", "--limit", "1", "--seed", str(2**64 - 1), model=TINY)
        with open(os.path.join(self.out, "run.json"), encoding="utf-8") as file:
            facts = json.load(file)
        digest = 0xcbf29ce484222325
        with open(self.questions, "rb") as file:
            for byte in file.read():
                digest = (digest ^ byte) * 0x100000001b3 % 2**64
        self.assertEqual(facts["questions"], {"file": "questions.jsonl",
                                              "digest": f"fnv1a64:{digest:016x}"})
        self.assertEqual(facts["model"]["path"], TINY)
        self.assertEqual((facts["model"]["d_model"], facts["model"]["device"]), (64, "cpu"))
        self.assertEqual(facts["parameters"]["seed"], str(2**64 - 1))

    def test_records_without_run_json_are_refused(self):
        self.done("--modes", "normal", "--limit", "1", model=TINY)
        os.remove(os.path.join(self.out, "run.json"))
        self.refused("--modes", "normal", names="no run.json", code=1)

    def test_run_json_that_is_no_json_is_named(self):
        self.done("--modes", "normal", "--limit", "1", model=TINY)
        self.write(os.path.join(self.out, "run.json"), "{\n")
        self.refused("--modes", "normal", names="run.json: line", code=1)

    def test_output_that_cannot_be_made_is_named(self):
        self.out = self.questions
        self.refused(names="Not a directory", code=1)
        self.out = self.path("no", "such")
        self.refused(names="no/such", code=1)


@needs_demo
class Progress(Run):
    def test_terminal_shows_a_bar_that_goes_away(self):
        terminal = Terminal([PROGRAM, *self.arguments(slowly=True)])
        self.assertTrue(terminal.wait_for(" of 12, "))
        self.assertTrue(terminal.wait_for(" left"))
        self.assertEqual(terminal.finish(), 0)
        shown = terminal.screen.everything()
        self.assertNotIn("left", shown)
        self.assertIn("12 answers in ", shown)
        self.assertIn("SoT against normal generation", shown)

    def test_narrow_terminal_has_one_line_of_it(self):
        terminal = Terminal([PROGRAM, *self.arguments(slowly=True)], columns=40)
        self.assertTrue(terminal.wait_for(" of 12, "))
        self.assertEqual(terminal.finish(), 0)
        self.assertNotIn("[#", terminal.screen.everything())

    def test_quiet_run_says_nothing_on_standard_error(self):
        self.assertEqual(self.done("-q", "--limit", "1").stderr, b"")


if __name__ == "__main__":
    unittest.main()
