"""sot-bench prefill-overhead from outside: with a vocabulary of bytes every count follows from the
texts alone, and is worked out here once more; with LLaMA's tokenizer the goals are looked at."""
import json
import os
import re
import signal
import statistics
import subprocess
import tempfile
import unittest

from programs import (BUILD, ROOT, SHARED, TIMEOUT, TINY, check_refused, default_interrupt,
                      environment, run, sanitized, wait_for_handler)

PROGRAM = os.path.join(BUILD, "examples", "sot-bench")
ROLE = "[ROLESWITCHING assistant:]"


def data(*names):
    """The path of a shared file; skips, saying so, where it is absent."""
    path = os.path.join(SHARED, "data", *names)
    if not os.path.isfile(path):
        print(f"SKIPPED: {path} is not there; set SOT_SHARED_DIR")
        raise unittest.SkipTest(f"no {path}")
    return path


def load(*names):
    with open(data(*names), encoding="utf-8") as file:
        return json.load(file)


def overhead(*arguments, **changes):
    return run("sot-bench", "prefill-overhead", *arguments, **changes)


def counted(*arguments):
    """The object of --json, rows by name, and what was printed."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "counted.json")
        done = overhead("--json", path, *arguments)
        assert done.returncode == 0, (done.returncode, done.stderr)
        assert done.stderr == b"", done.stderr
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    found["rows"] = {row["name"]: row for row in found["rows"]}
    return found, done.stdout.decode()


def phrases():
    with open(os.path.join(ROOT, "examples", "bench", "overhead_texts.c"), encoding="utf-8") as file:
        return re.findall(r'^    "(.*)",$', file.read(), flags=re.MULTILINE)


def skeletons(questions, points):
    """The points of each question: whole numbers with Fig. 11's mean, so far as there are any."""
    known = phrases()
    seen = {}
    result = []
    for i, question in enumerate(questions):
        category = question["category"]
        mean = points[category]["LLaMA2-Chat-7B"]
        n_before = seen.get(category, 0)
        seen[category] = n_before + 1
        n = int(mean * (n_before + 1) + 0.5) - int(mean * n_before + 0.5)
        result.append([known[(11 * i + k) % len(known)] for k in range(n)])
    return result


class Bytes(unittest.TestCase):
    """TINY's tokenizer makes one token of every byte of these texts, BOS in front."""
    N = 3 if sanitized() else 6

    @classmethod
    def setUpClass(cls):
        with open(data("vicuna80.jsonl"), encoding="utf-8") as file:
            questions = [json.loads(line) for line in file]
        cls.questions = [q for q in questions if q["suitable"]][:cls.N]
        cls.texts = [q["question"] for q in cls.questions]
        tables = load("paper_tables.json")
        cls.points = skeletons(cls.questions, tables["fig11_vicuna80_statistics"]["points"])
        cls.found, _ = counted("-m", TINY, "--questions", data("vicuna80.jsonl"), "--limit",
                               str(cls.N), "--point-tokens", "2")

    def mean(self, count):
        return statistics.mean(count(text, points) for text, points in zip(self.texts, self.points))

    def assert_row(self, name, **expected):
        for member, value in expected.items():
            self.assertAlmostEqual(self.found["rows"][name][member], value, 5, (name, member))

    @staticmethod
    def source(points):
        return "\n".join(f"{i + 1}. {point}" for i, point in enumerate(points))

    @staticmethod
    def prompts(text, points):
        """The two-shot prompts under the template vicuna: stage 1's, and all of stage 2."""
        templates = load("prompts_opensource.json")
        source = " " + Bytes.source(points)
        skeleton = "USER: " + templates["outline_prompt"].replace("{request}", text)
        expansions = []
        for i, point in enumerate(points):
            filled = templates["point_prompt"].replace("{request}", text)
            filled = filled.replace("{outline}", source).replace("{point}", str(i + 1))
            expansions.append("USER: " + filled.replace("{point_outline}", point))
        prompts = [p.replace(ROLE, " ASSISTANT:").encode() for p in [skeleton] + expansions]
        return prompts[0], prompts[1:]

    def test_questions_and_skeletons_are_the_papers(self):
        self.assertEqual(self.found["n_questions"], self.N)
        self.assertAlmostEqual(self.found["points"], statistics.mean(map(len, self.points)))
        self.assertTrue(all(3 <= len(phrase.split()) <= 5 for phrase in phrases()))
        # What is forced is behind the partial answer "1.".
        self.assertAlmostEqual(self.found["skeleton_tokens"],
                               self.mean(lambda _, points: len(self.source(points)) - 2), 5)

    def test_normal_is_the_bare_question(self):
        self.assertAlmostEqual(self.found["normal"],
                               self.mean(lambda text, _: 1 + len(f"USER: {text} ASSISTANT:")), 5)

    def test_nothing_shared_is_every_token_of_every_prompt(self):
        self.assert_row("nothing shared",
                        stage1=self.mean(lambda *q: 1 + len(self.prompts(*q)[0])),
                        stage2=self.mean(lambda *q: sum(1 + len(p) for p in self.prompts(*q)[1])))

    def test_papers_way_shares_the_points_beginning(self):
        def stage2(text, points):
            prompts = self.prompts(text, points)[1]
            n_common = len(os.path.commonprefix(prompts))
            return 1 + n_common + sum(len(p) - n_common for p in prompts)

        self.assert_row("the paper's way", stage1=self.mean(lambda *q: 1 + len(self.prompts(*q)[0])),
                        stage2=self.mean(stage2))

    def test_default_keeps_what_is_constant(self):
        templates = load("prompts_opensource.json")
        n_skeleton = len("USER: ") + templates["outline_prompt"].index("{")
        n_point = len("USER: ") + templates["point_prompt"].index("{")

        def stage2(text, points):
            prompts = self.prompts(text, points)[1]
            n_common = len(os.path.commonprefix(prompts))
            return n_common - n_point + sum(len(p) - n_common for p in prompts)

        self.assert_row("two-shot (default)",
                        stage1=self.mean(lambda *q: len(self.prompts(*q)[0]) - n_skeleton),
                        stage2=self.mean(stage2))

    def test_compact_computes_question_skeleton_and_points(self):
        def stage2(text, points):
            return (len(text) + len("\nSkeleton:\n ") + len(self.source(points)) +
                    len(" ASSISTANT: ") +
                    sum(len(f"{i + 1}. {point}") for i, point in enumerate(points)))

        self.assert_row("compact", stage1=self.mean(lambda text, _: len(text + " ASSISTANT: 1.")),
                        stage2=self.mean(stage2))

    def test_chained_computes_the_points_behind_a_short_turn(self):
        def stage2(_, points): # the skeleton's last token, the end of its turn, the next turn
            return (1 + 1 + len("USER: Point: ASSISTANT: ") +
                    sum(len(f"{i + 1}. {point}") for i, point in enumerate(points)))

        self.assert_row("chained", stage2=self.mean(stage2))
        # The last question's pages are there, too: it may begin with the same letters.
        stage1 = self.found["rows"]["chained"]["stage1"]
        most = self.mean(lambda text, _: len(text + " ASSISTANT: 1."))
        self.assertLessEqual(stage1, most)
        self.assertGreaterEqual(stage1, most - 10)

    def test_first_question_computes_the_beginnings_too(self):
        row = self.found["rows"]["two-shot (default)"]
        paper = self.found["rows"]["the paper's way"]
        n_shared = 1 + len("USER: You're ") # with which both templates begin
        self.assertAlmostEqual(row["first_stage1"], paper["stage1"], 5)
        self.assertAlmostEqual(row["first_stage2"], paper["stage2"] - n_shared, 5)

    def test_every_expansion_was_compared_twice_a_wording(self):
        self.assertEqual(self.found["expansions_compared"], 4 * 2 * sum(map(len, self.points)))


class Llama(unittest.TestCase):
    def test_goals_hold_with_llamas_tokenizer(self):
        data("tokenizer", "llama.model")
        data("vicuna80.jsonl")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "counted.json")
            place = os.path.join(folder, "temporary")
            os.mkdir(place)
            done = overhead("--json", path, "--point-tokens", "1",
                            "--limit", "3" if sanitized() else "10",
                            SOT_SHARED_DIR=SHARED, TMPDIR=place)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(os.listdir(place), []) # the stand-in's folder is gone
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
        rows = {row["wording"]: row["sum"] for row in found["rows"]} # the library's come last
        paper = found["paper"]["stage1"] + found["paper"]["stage2"]
        self.assertLessEqual(rows["chained"], paper / 4)
        self.assertLess(rows["compact"], paper / 2)
        self.assertLess(rows["two-shot"], paper)
        self.assertEqual([row["name"] for row in found["rows"]],
                         ["nothing shared", "the paper's way", "two-shot (default)", "zero-shot",
                          "compact", "chained"])

    def test_papers_rows_are_the_published_ones(self):
        with open(os.path.join(ROOT, "examples", "bench", "table7.c"), encoding="utf-8") as file:
            rows = re.findall(r'\{"([^"]+)", ([\d.]+), ([\d.]+), ([\d.]+)\}', file.read())
        published = load("paper_tables.json")["table7_prefill_tokens"]
        self.assertEqual({name: tuple(map(float, values)) for name, *values in rows},
                         {name: (row["normal"], row["sot_stage1"], row["sot_stage2"])
                          for name, row in published.items()})


class Arguments(unittest.TestCase):
    def refused(self, *arguments, names, code=2, **changes):
        done = overhead(*arguments, **{"SOT_SHARED_DIR": None, **changes})
        check_refused(self, "sot-bench", done, names, code=code)

    def test_nothing_said_about_the_files_is_refused(self):
        self.refused(names="--questions is missing")
        self.refused("--questions", "q.jsonl", names="--tokenizer is missing")

    def test_files_absent_are_named(self):
        self.refused("--questions", "/no/q.jsonl", "-m", TINY, code=1, names="/no/q.jsonl")
        self.refused(code=1, names="/no/such/data/vicuna80.jsonl", SOT_SHARED_DIR="/no/such")
        with tempfile.TemporaryDirectory() as folder:
            questions = os.path.join(folder, "q.jsonl")
            with open(questions, "w", encoding="utf-8") as file:
                file.write('{"id": 1, "question": "Why?"}\n')
            for tokenizer, names in (("/no/t.model", "/no/t.model"), (questions, "tokenizer.model")):
                self.refused("--questions", questions, "--tokenizer", tokenizer, code=1, names=names,
                             TMPDIR=folder)
            self.refused("--questions", questions, "--tokenizer", questions, code=1, names="/no/tmp",
                         TMPDIR="/no/tmp")
            self.assertEqual(os.listdir(folder), ["q.jsonl"])

    def test_names_unknown_are_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            questions = os.path.join(folder, "q.jsonl")
            with open(questions, "w", encoding="utf-8") as file:
                file.write('{"id": 1, "question": "Why?", "suitable": 0}\n')
            common = ["--questions", questions, "-m", TINY]
            self.refused(*common, "--model-lengths", "HAL", names="'HAL'")
            self.refused(*common, "--template", "alpaca", "--all", names='"alpaca"')
            self.refused(*common, "--tokenizer", "t", names="tokenizer of its own")
            self.refused(*common, code=1, names="--all takes them")
            self.refused(*common, "--all", "--json", "/no/j.json", code=1, names="/no/j.json")

    def test_interrupt_ends_it_without_numbers(self):
        questions = data("vicuna80.jsonl")
        with subprocess.Popen([PROGRAM, "prefill-overhead", "-m", "random:512x8x8x1376x2000",
                               "--threads", "1", "--questions", questions],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
                              preexec_fn=default_interrupt) as process:
            wait_for_handler(process)
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                pass
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=TIMEOUT)
        self.assertEqual((process.returncode, out), (130, b""), error)
        self.assertIn(b"interrupted", error)


if __name__ == "__main__":
    unittest.main(verbosity=2)
