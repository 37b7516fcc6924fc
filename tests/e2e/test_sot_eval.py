"""sot-eval run from outside: kills and Ctrl-C at any moment, torn lines, runs that do not agree,
question files, FastChat's format, statistics against formulas written down here."""
import fcntl
import functools
import json
import math
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import unittest

from programs import (BUILD, DEMO, ROOT, SLOWLY, TIMEOUT, TINY, default_interrupt, environment,
                      needs_demo, run, sot, wait_for_handler)
from terminal_screen import Terminal

PROGRAM = os.path.join(BUILD, "examples", "sot-eval")
SHARED = os.environ.get("SOT_SHARED_DIR", os.path.join(ROOT, "..", "shared"))
ROUTER = os.path.join(ROOT, "examples", "router", "lima.router")
TEXTS = [("skills", "How can I improve my chess skills?"),
         ("skills", "How can I learn the violin?"),
         ("places", "What should I see in Lisbon?"),
         ("causes", "What are the causes of traffic jams?"),
         ("skills", "How do I choose a bicycle?"),
         ("causes", "Why do people keep diaries?")]
QUESTIONS = [{"id": 10 * i + 3, "category": category, "question": text, "suitable": i % 2,
              "difficulty": None if i % 3 else i} for i, (category, text) in enumerate(TEXTS)]
SHORT = ["--max-tokens", "40", "--max-skeleton-tokens", "30", "--max-point-tokens", "24"]
MODES = ("normal", "sot")
STAGES = ("normal", "skeleton", "expand", "route")


def evaluate(*arguments, **options):
    return run("sot-eval", *arguments, **options)


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def what_was_said(record):
    """A record without what time decides, and without what was found in pages: a run that goes on
    warms up anew."""
    return {name: record[name] for name in
            ("question_id", "category", "difficulty", "suitable", "mode", "status", "question",
             "ran", "finish", "answer", "skeleton", "n_tokens", "answer_tokens", "points")}


class Folder(unittest.TestCase):
    """A test with a folder of its own and a question file in it."""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.questions = self.path("questions.jsonl")
        self.write(self.questions, "".join(json.dumps(q) + "\n" for q in QUESTIONS))
        self.out = self.path("out")

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, path, content):
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)

    def arguments(self, *more, model=DEMO, slowly=False):
        return ["run", "-m", model, "--questions", self.questions, "-o", self.out, *SHORT,
                *(SLOWLY if slowly else []), *more]

    def records(self):
        return read_lines(os.path.join(self.out, "records.jsonl"))

    def done(self, *more, code=0, **options):
        done = evaluate(*self.arguments(*more, **options))
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def refused(self, *more, names, code, model=TINY):
        done = evaluate(*self.arguments(*more, model=model))
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(done.stdout, b"")
        self.assertTrue(done.stderr.startswith(b"sot-eval: "), done.stderr)
        self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)
        self.assertIn(names.encode(), done.stderr)


class Arguments(Folder):
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


class QuestionFiles(Folder):
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


@functools.cache
def whole_run():
    """The records of a run that nothing disturbed, and what it printed. Run once."""
    test = Folder("setUp")
    test.setUp()
    try:
        printed = test.done("--json").stdout
        return test.records(), json.loads(printed), test.path()
    finally:
        test.doCleanups()


@needs_demo
class Records(Folder):
    def test_every_question_is_recorded_once_per_mode_in_order(self):
        records, _, _ = whole_run()
        self.assertEqual([(r["mode"], r["question_id"]) for r in records],
                         [(mode, q["id"]) for mode in MODES for q in QUESTIONS])
        for record, question in zip(records, QUESTIONS * 2):
            for member in ("category", "question", "difficulty", "suitable"):
                self.assertEqual(record[member], question[member])

    def test_record_is_what_sot_ask_says(self):
        records, _, _ = whole_run()
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
        records, _, _ = whole_run()
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


@needs_demo
class Stopped(Folder):
    """Runs that end before their time."""

    def same_as_undisturbed(self):
        expected = sorted(map(json.dumps, map(what_was_said, whole_run()[0])))
        self.assertEqual(sorted(map(json.dumps, map(what_was_said, self.records()))), expected)

    def start(self, *more):
        return subprocess.Popen([PROGRAM, *self.arguments(*more, slowly=True)],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
                                preexec_fn=default_interrupt)

    def n_lines(self):
        try:
            with open(os.path.join(self.out, "records.jsonl"), "rb") as file:
                return file.read().count(b"\n")
        except FileNotFoundError:
            return 0

    def wait_for_lines(self, process, n):
        end = time.monotonic() + TIMEOUT
        while self.n_lines() < n and process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)

    def test_killed_at_random_moments_every_question_is_there_once(self):
        chance = random.Random(20260131)
        n_killed = n_in_the_middle = 0
        for _ in range(200):
            n_before = self.n_lines()
            with self.start("-q") as process:
                # Most within the answering, some while it loads.
                if chance.random() < 0.8:
                    self.wait_for_lines(process, n_before + 1)
                    n_in_the_middle += process.poll() is None
                time.sleep(chance.random() * 0.1)
                process.kill()
                ended = process.wait(TIMEOUT)
            if ended == 0:
                break
            self.assertEqual(ended, -signal.SIGKILL)
            n_killed += 1
        self.assertEqual(ended, 0)
        self.assertGreater(n_killed, 3)
        self.assertGreater(n_in_the_middle, 3)
        self.same_as_undisturbed()

    def test_torn_line_is_cut_off_wherever_it_ends(self):
        self.done(*SLOWLY)
        path = os.path.join(self.out, "records.jsonl")
        with open(path, "rb") as file:
            whole = file.read()
        begin = whole.rindex(b"\n", 0, -1) + 1
        line = whole[begin:]
        for torn in (line[:1], line[:len(line) // 2], line[:-1], b"\0" * 60 + b"\n"):
            with open(path, "wb") as file:
                file.write(whole[:begin] + torn)
            done = self.done(*SLOWLY)
            self.assertIn(b"was not complete", done.stderr)
            self.assertIn(b"1 of them are new", done.stderr)
            self.same_as_undisturbed()

    def test_damage_elsewhere_is_named_and_left_as_it_is(self):
        self.done("--limit", "2", *SLOWLY)
        path = os.path.join(self.out, "records.jsonl")
        with open(path, encoding="utf-8") as file:
            lines = file.readlines()
        first = json.loads(lines[0])
        del first["n_tokens"]
        for damaged, names in [([lines[0][:40] + "\n"] + lines[1:], "line 1: "),
                               ([json.dumps(first) + "\n"] + lines[1:], '"n_tokens"'),
                               (lines + [lines[1]], "line 5: question 13 has a record")]:
            self.write(path, "".join(damaged))
            done = evaluate(*self.arguments("--limit", "2", *SLOWLY))
            self.assertEqual((done.returncode, done.stdout), (1, b""), done.stderr)
            self.assertIn(f"{path}: ".encode(), done.stderr)
            self.assertIn(names.encode(), done.stderr)
            with open(path, encoding="utf-8") as file:
                self.assertEqual(file.read(), "".join(damaged))

    def test_ctrl_c_says_how_to_go_on(self):
        with self.start() as process:
            wait_for_handler(process)
            self.wait_for_lines(process, 2)
            process.send_signal(signal.SIGINT)
            printed, said = process.communicate(timeout=TIMEOUT)
        self.assertEqual((process.returncode, printed), (130, b""), said)
        n = self.n_lines()
        self.assertGreaterEqual(n, 2)
        self.assertIn(f"interrupted; {n} of 12 answers are recorded".encode(), said)
        self.assertEqual(len(read_lines(os.path.join(self.out, "answers-normal.jsonl"))),
                         min(n, len(QUESTIONS)))
        self.done(*SLOWLY)
        self.same_as_undisturbed()

    def test_two_at_a_time_are_refused(self):
        self.done("--limit", "1", *SLOWLY)
        with open(os.path.join(self.out, "records.jsonl"), "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            done = evaluate(*self.arguments("--limit", "1", *SLOWLY))
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"another run is writing", done.stderr)

    def test_full_disk_leaves_whole_lines(self):
        def limit_files():
            # pylint: disable=import-outside-toplevel
            import resource
            resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        done = subprocess.run([PROGRAM, *self.arguments(*SLOWLY)], capture_output=True, check=False,
                              env=environment(), timeout=TIMEOUT, preexec_fn=limit_files)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(b"records.jsonl: File too large", done.stderr)
        self.assertGreater(len(self.records()), 0)
        self.done(*SLOWLY)
        self.same_as_undisturbed()


class Disagreement(Folder):
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


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else None


def expected_row(records, category, mode):
    """The definitions of sot-eval(1), with Python's own statistics."""
    of = {m: {r["question_id"]: r for r in records if r["mode"] == m and
              category in ("all", r["category"])} for m in ("normal", mode)}
    good = {m: {i: r for i, r in rows.items() if r["status"] == "SOT_OK"} for m, rows in of.items()}
    by_sot = [r for r in good[mode].values() if r["ran"] == "sot"]
    expanded = [r for r in by_sot if r["points"]]
    pairs = [(good["normal"][i], r) for i, r in good[mode].items() if i in good["normal"]]
    tokens = [[p["tokens"] for p in r["points"]] for r in expanded]

    def critical(record):
        if record["ran"] != "sot":
            return record["n_tokens"]
        return (record["stats"]["skeleton"]["decode_tokens"] +
                max((p["tokens"] for p in record["points"]), default=0))

    def total(record):
        return record["stats"]["total_ns"]

    def fraction(part, whole):
        return part / whole if whole else None
    speedups = [total(n) / total(r) for n, r in pairs]
    return {
        "category": category, "n_questions": len(set(of["normal"]) | set(of[mode])),
        "n_compared": len(pairs), "n_sot": len(by_sot), "n_expanded": len(expanded),
        "points": mean(len(r["points"]) for r in by_sot),
        "skeleton_tokens": mean(r["stats"]["skeleton"]["decode_tokens"] for r in by_sot),
        "point_tokens": mean(t for row in tokens for t in row),
        "longest_point": mean(max(row) for row in tokens),
        "balance": mean(statistics.pstdev(row) for row in tokens),
        "normal_tokens": mean(n["n_tokens"] for n, _ in pairs),
        "mode_tokens": mean(r["n_tokens"] for _, r in pairs),
        "normal_ns": mean(total(n) for n, _ in pairs),
        "mode_ns": mean(total(r) for _, r in pairs),
        "longest_over_normal": mean(max(p["tokens"] for p in r["points"]) / n["n_tokens"]
                                    for n, r in pairs if r["ran"] == "sot" and r["points"]),
        "answer_over_normal": mean(r["answer_tokens"] / n["answer_tokens"] for n, r in pairs
                                   if n["answer_tokens"]),
        "speedup": fraction(sum(total(n) for n, _ in pairs), sum(total(r) for _, r in pairs)),
        "speedup_mean": mean(speedups),
        "speedup_least": min(speedups, default=None), "speedup_most": max(speedups, default=None),
        "bound": fraction(sum(n["n_tokens"] for n, _ in pairs), sum(critical(r) for _, r in pairs)),
        "memory": fraction(max((r["peak_bytes"] for _, r in pairs), default=0),
                           max((n["peak_bytes"] for n, _ in pairs), default=0))}


@needs_demo
class Statistics(Folder):
    def compare(self, records, printed):
        table, = printed["statistics"]
        self.assertEqual(table["mode"], "sot")
        categories = list(dict.fromkeys(r["category"] for r in records)) + ["all"]
        self.assertEqual([row["category"] for row in table["categories"]], categories)
        for row, category in zip(table["categories"], categories):
            expected = expected_row(records, category, "sot")
            self.assertEqual(set(row), set(expected))
            for member, value in expected.items():
                if isinstance(value, float):
                    self.assertTrue(math.isclose(row[member], value, rel_tol=1e-12),
                                    (category, member, row[member], value))
                else:
                    self.assertEqual(row[member], value, (category, member))

    def test_statistics_of_a_run_are_the_formulas(self):
        records, printed, _ = whole_run()
        self.compare(records, printed)

    def test_statistics_of_made_up_records_are_the_formulas(self):
        self.done("-q")
        chance = random.Random(7)
        records = self.records()
        for i, record in enumerate(records):
            record["n_tokens"] = chance.randrange(1, 900)
            record["answer_tokens"] = chance.randrange(1, 900)
            record["stats"]["total_ns"] = chance.randrange(10**6, 10**12)
            record["peak_bytes"] = chance.randrange(10**6, 10**12)
            if record["mode"] == "sot":
                record["stats"]["skeleton"]["decode_tokens"] = chance.randrange(1, 90)
                point = record["points"][0]
                record["points"] = [dict(point, tokens=chance.randrange(0, 300))
                                    for _ in range(i % 4)]
        records[0]["answer_tokens"] = 0
        records[1]["status"] = "SOT_ERR_CONTEXT_FULL"  # a normal answer of skills
        records[8]["status"] = "SOT_ERR_CONTEXT_FULL"  # the only one of places, by SoT
        chance.shuffle(records)
        self.write(os.path.join(self.out, "records.jsonl"),
                   "".join(json.dumps(record) + "\n" for record in records))
        printed = json.loads(self.done("-q", "--json").stdout)
        self.assertEqual(self.records(), records)
        self.compare(records, printed)

    def test_table_says_what_json_says(self):
        self.done("-q")
        lines = self.done("-q").stdout.decode().splitlines()
        rows = json.loads(self.done("-q", "--json").stdout)["statistics"][0]["categories"]
        self.assertEqual(lines[0], "SoT against normal generation")
        self.assertEqual(len(lines), 3 + len(rows))
        for line, row in zip(lines[3:], rows):
            cells = line.split()
            self.assertEqual(cells[0], row["category"])
            self.assertEqual([int(cell) for cell in cells[1:4]],
                             [row["n_questions"], row["n_compared"], row["n_sot"]])
            for cell, member in zip(cells[4:], ("points", "longest_point", "balance",
                                                "normal_tokens", "mode_tokens", "speedup", "bound",
                                                "memory")):
                self.assertLessEqual(abs(float(cell.rstrip("x")) - row[member]), 0.0501)


def expected_routing(records):
    """The confusion matrix of sot-eval(1), positive: suits Skeleton-of-Thought."""
    decided = [r for r in records if r["mode"] == "routed" and r["decision"]]
    cells = dict.fromkeys(("tn", "fp", "fn", "tp"), 0)
    for record in decided:
        if record["suitable"] is not None:
            says_sot = record["decision"]["label"] == "sot"
            cells[("t" if says_sot == bool(record["suitable"]) else "f") +
                  ("p" if says_sot else "n")] += 1
    return {**cells, "n": len(decided),
            "n_sot": sum(r["decision"]["label"] == "sot" for r in decided),
            "n_undecided": sum(r["decision"]["label"] == "undecided" for r in decided),
            "latency_ns": mean(r["decision"]["latency_ns"] for r in decided)}


@needs_demo
class Routed(Folder):
    def of_mode(self, mode):
        return {r["question_id"]: r for r in self.records() if r["mode"] == mode}

    def test_routers_that_always_say_the_same_give_that_modes_answers(self):
        for router, mode, label, score in [("always", "sot", "sot", 1.0),
                                           ("never", "normal", "normal", 0.0)]:
            self.out = self.path(router)
            self.done("--modes", "normal,sot,routed", "--router", router, "--limit", "3")
            plain = self.of_mode(mode)
            for i, record in self.of_mode("routed").items():
                for member in ("ran", "answer", "skeleton", "points", "n_tokens", "finish"):
                    self.assertEqual(record[member], plain[i][member], member)
                self.assertEqual(record["ran"], mode)
                self.assertEqual((record["decision"]["router"], record["decision"]["label"],
                                  record["decision"]["score"]), (router, label, score))
                self.assertIsNone(plain[i]["decision"])

    def test_prompting_router_asks_the_model(self):
        with open(self.questions, "a", encoding="utf-8") as file:
            file.write('{"id": 90, "category": "sums", "suitable": 0, '
                       '"question": "What is 12 times 7?"}\n')
        printed = json.loads(self.done("--modes", "normal,routed", "--json").stdout)
        records = self.of_mode("routed")
        for record in records.values():
            decision = record["decision"]
            self.assertEqual(decision["router"], "prompting")
            self.assertEqual(decision["label"], {"A": "sot", "B": "normal", "C": "normal"}.get(
                decision["letter"], "undecided"))
            self.assertEqual(record["ran"], "sot" if decision["label"] == "sot" else "normal")
            self.assertGreaterEqual(decision["n_tokens"], 1)
            self.assertEqual(record["stats"]["route"]["decode_tokens"], decision["n_tokens"])
            self.assertEqual(record["n_tokens"], sum(
                record["stats"][stage]["decode_tokens"] for stage in STAGES))
            self.assertTrue(0 < decision["latency_ns"] <= record["stats"]["total_ns"])
        # What the demo model has learnt: lists yes, sums no.
        self.assertEqual((records[3]["ran"], records[90]["ran"]), ("sot", "normal"))
        statistics_of_routed, = printed["statistics"]
        self.assertEqual(statistics_of_routed["routing"], expected_routing(self.records()))
        table = self.done("--modes", "normal,routed").stdout.decode()
        self.assertIn("SoT-R against normal generation", table)
        cells = statistics_of_routed["routing"]
        self.assertIn(f"tn {cells['tn']}, fp {cells['fp']}, fn {cells['fn']}, tp {cells['tp']}",
                      table)

    def test_concurrent_routing_gives_the_same_answers(self):
        self.done("--modes", "routed", "--limit", "3")
        one_by_one = self.of_mode("routed")
        self.out = self.path("concurrent")
        self.done("--modes", "routed", "--limit", "3", "--concurrent")
        for i, record in self.of_mode("routed").items():
            for member in ("ran", "answer", "skeleton", "points", "finish"):
                self.assertEqual(record[member], one_by_one[i][member])

    def test_trained_router_decides_by_its_file(self):
        if not os.path.isfile(ROUTER):
            self.skipTest(f"no trained router at {ROUTER}")
        self.done("--modes", "normal,routed", "--router-file", ROUTER)
        for record in self.of_mode("routed").values():
            decision = record["decision"]
            self.assertEqual((decision["router"], decision["letter"], decision["n_tokens"]),
                             ("trained", None, 0))
            self.assertEqual(record["ran"], decision["label"])
            self.assertTrue(0 <= decision["score"] <= 1)
            self.assertLess(decision["latency_ns"], 1e8)
        with open(os.path.join(self.out, "run.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["router"]["file"], os.path.basename(ROUTER))

    def test_router_comes_with_the_first_run_that_has_one_and_stays(self):
        def router():
            with open(os.path.join(self.out, "run.json"), encoding="utf-8") as file:
                return json.load(file)["router"]
        limit = ("--limit", "1")
        self.done(*limit)
        self.assertIsNone(router())
        self.done("--modes", "routed", "--router", "never", *limit)
        self.assertEqual(router(), {"router": "never", "concurrent": False})
        self.done(*limit)
        self.assertEqual(router(), {"router": "never", "concurrent": False})
        self.refused("--modes", "routed", "--router", "always", *limit, model=DEMO, code=1,
                     names='router.router is "never" there and now "always"')
        self.assertEqual(len(self.records()), 3)

    def test_router_that_cannot_be_is_named(self):
        self.refused("--modes", "routed", "--router", "oracle", names="'oracle'", code=2)
        self.refused("--router", "always", names="mode routed", code=2)
        self.refused("--modes", "routed", "--router", "never", "--router-file", "x",
                     names="--router-file", code=2)
        self.refused("--modes", "routed", "--router-file", "/no/such.router",
                     names="/no/such.router", code=1)


@needs_demo
class Progress(Folder):
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
