"""sot-eval judge-pairs and sot-eval win-rate: prompts in both orders, verdicts of every kind, and
rates recomputed here from the paper's definition (arXiv 2307.15337, section 3.2)."""
import itertools
import json
import os
import random
import unittest
from fractions import Fraction

from eval_records import record
from programs import Folder, check_refused, run

MARK = {1: "[[A]]", 0: "[[C]]", -1: "[[B]]"}


def sot_eval(*arguments, **options):
    return run("sot-eval", *arguments, **options)


def sign(number):
    return (number > 0) - (number < 0)


def interval(scores):
    """2.5% and 97.5% of the mean of as many draws with replacement, by exact chances."""
    n = len(scores)
    share = {score: Fraction(scores.count(score), n) for score in (-1, 0, 1)}
    chances = {0: Fraction(1)}
    for _ in range(n):
        new = {}
        for total, chance in chances.items():
            for score, weight in share.items():
                if weight:
                    new[total + score] = new.get(total + score, 0) + chance * weight
        chances = new
    ends = []
    for wanted in (Fraction(25, 1000), Fraction(975, 1000)):
        below = Fraction(0)
        for total in sorted(chances):
            below += chances[total]
            if below >= wanted:
                ends.append(total / n)
                break
    return ends


class Judged(Folder):
    def write(self, name, objects):
        with open(self.path(name), "w", encoding="utf-8") as file:
            for value in objects:
                file.write((value if isinstance(value, str) else json.dumps(value)) + "\n")
        return self.path(name)

    def refused(self, done, *names, code=1):
        check_refused(self, "sot-eval", done, *names, code=code)


class Pairs(Judged):
    def setUp(self):
        super().setUp()
        self.questions = self.write("questions.jsonl", [
            {"id": 1, "category": "generic", "question": "Why {answer_a}?"},
            {"id": 2, "category": "math", "question": "What is 1+1?"},
            {"id": 3, "category": "generic", "question": "Who?"}])
        self.mine = self.answers("mine.jsonl", {1: "A {question} {answer_b} é", 2: "two", 3: "I"})
        self.other = self.answers("other.jsonl", {1: "other one", 2: "zwei\n2", 3: "You"})

    def answers(self, name, answers):
        return self.write(name, [{"question_id": key, "model_id": name, "tstamp": 0,
                                  "choices": [{"index": 0, "turns": [text]}]}
                                 for key, text in answers.items()])

    def pairs(self, *arguments):
        done = sot_eval("judge-pairs", "--questions", self.questions, "-o", self.path("pairs"),
                        *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.path("pairs"), encoding="utf-8") as file:
            return [json.loads(line) for line in file], done

    def test_every_question_is_asked_in_both_orders(self):
        pairs, done = self.pairs(self.mine, self.other)
        self.assertEqual([(p["question_id"], p["order"]) for p in pairs],
                         [(i, order) for i in (1, 2, 3) for order in ("ab", "ba")])
        self.assertEqual(len({p["id"] for p in pairs}), 6)
        self.assertEqual({p["candidate"] for p in pairs}, {self.mine})
        self.assertEqual({p["baseline"] for p in pairs}, {self.other})
        self.assertEqual([p["category"] for p in pairs[::2]], ["generic", "math", "generic"])
        self.assertIn(b"3 comparisons, 6 prompts, 0 left out", done.stderr)
        for pair in pairs:
            self.assertEqual([m["role"] for m in pair["messages"]], ["system", "user"])
            for mark in MARK.values():
                self.assertIn(mark, pair["messages"][0]["content"])

    def test_the_second_prompt_has_the_answers_swapped(self):
        pairs, _ = self.pairs(self.mine, self.other)
        first, second = (p["messages"][1]["content"] for p in pairs[2:4])
        self.assertLess(first.index("two"), first.index("zwei\n2"))
        self.assertLess(second.index("zwei\n2"), second.index("two"))

    def test_placeholders_in_texts_stay(self):
        template = self.write("template.json", [
            {"prompt_template": "{{{question}}}|{answer_a}|{answer_b}|{question}"}])
        pairs, _ = self.pairs("--template", template, self.mine, self.other)
        self.assertEqual(pairs[0]["messages"], [
            {"role": "user",
             "content": "{Why {answer_a}?}|A {question} {answer_b} é|other one|Why {answer_a}?"}])
        self.assertEqual(pairs[1]["messages"][0]["content"],
                         "{Why {answer_a}?}|other one|A {question} {answer_b} é|Why {answer_a}?")

    def test_template_brings_its_system_message(self):
        template = self.write("template.json", [
            {"name": "pair", "system_prompt": "Be {fair}.",
             "prompt_template": "{answer_b}{answer_a}{question}"}])
        pairs, _ = self.pairs("--template", template, self.mine, self.other)
        self.assertEqual(pairs[4]["messages"][0], {"role": "system", "content": "Be {fair}."})
        self.assertEqual(pairs[4]["messages"][1]["content"], "YouIWho?")

    def test_template_faults_are_named(self):
        for prompt, name in {"{question}{answer_a}": "{answer_b}",
                             "{question}{answer_a}{answer_b}{ref_answer_1}": "{ref_answer_1}",
                             "{question}{answer_a}{answer_b} {": "lone '{' at byte 31",
                             "} {question}{answer_a}{answer_b}": "lone '}' at byte 0"}.items():
            template = self.write("template.json", [{"prompt_template": prompt}])
            done = sot_eval("judge-pairs", "--questions", self.questions, "-o", self.path("pairs"),
                            "--template", template, self.mine, self.other)
            self.refused(done, template, name)
            self.assertFalse(os.path.exists(self.path("pairs")))
        for text in ["{}", '{"prompt_template": 1}', "[", '{"prompt_template": "x", "a": 1, "a": 2}']:
            template = self.write("template.json", [text])
            self.refused(sot_eval("judge-pairs", "--questions", self.questions, "-o", "-",
                                  "--template", template, self.mine, self.other), template)

    def test_unanswered_question_is_named_and_left_out(self):
        part = self.answers("part.jsonl", {1: "x", 3: "y"})
        pairs, done = self.pairs(self.mine, part)
        self.assertEqual([p["question_id"] for p in pairs], [1, 1, 3, 3])
        self.assertIn(f"question 2 is left out: no answer of {part}".encode(), done.stderr)
        self.assertIn(b"2 comparisons, 4 prompts, 1 left out", done.stderr)

    def test_nothing_in_common_is_a_failure(self):
        none = self.answers("none.jsonl", {9: "x"})
        self.write("pairs", ["old"])
        done = sot_eval("judge-pairs", "--questions", self.questions, "-o", self.path("pairs"),
                        self.mine, none)
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"nothing is written", done.stderr)
        with open(self.path("pairs"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "old\n")

    def test_modes_of_a_run_are_taken_from_its_records(self):
        rng = random.Random(1)
        os.mkdir(self.path("run"))
        self.write("run/records.jsonl", [record(rng, i, "x", mode, answer=f"{mode} says {i}\0!")
                                         for i in (1, 2, 3) for mode in ("normal", "sot")])
        for sources in ((self.path("run") + ":sot", self.path("run") + ":normal"),
                        (self.path("run/records.jsonl") + ":sot", self.path("run") + ":normal")):
            pairs, _ = self.pairs(*sources)
            self.assertEqual(len(pairs), 6)
            self.assertEqual((pairs[0]["candidate"], pairs[0]["baseline"]), sources)
            content = pairs[3]["messages"][1]["content"]
            self.assertLess(content.index("normal says 2\0!"), content.index("sot says 2\0!"))
        done = sot_eval("judge-pairs", "--questions", self.questions, "-o", "-",
                        self.path("run") + ":sot", self.path("run") + ":routed")
        self.refused(done, "no answers of mode routed")

    def test_each_baseline_gets_ids_of_its_own(self):
        third = self.answers("third.jsonl", {1: "p", 2: "q", 3: "r"})
        pairs, _ = self.pairs(self.mine, self.other, third)
        self.assertEqual(len(pairs), 12)
        self.assertEqual(len({p["id"] for p in pairs}), 12)
        self.assertEqual([p["baseline"] for p in pairs[:4]],
                         [self.other, self.other, third, third])

    def test_bad_sources_are_named(self):
        double = self.answers("double.jsonl", {1: "x"})
        with open(double, "a", encoding="utf-8") as file:
            file.write(json.dumps({"question_id": 1, "choices": [{"turns": ["y"]}]}))
        cases = {double: ("line 2", "question 1"),
                 self.write("no_turns.jsonl", [{"question_id": 1}]): ("line 1", "turns"),
                 self.write("no_id.jsonl", [{"choices": [{"turns": ["y"]}]}]): ("question_id",),
                 self.write("list.jsonl", ["", "[1]"]): ("line 2", "object"),
                 self.write("record.jsonl", [{"question_id": 1, "mode": "sot"}]): ("which mode",),
                 self.write("empty.jsonl", []): ("no answers",),
                 self.folder: ("which mode",), self.path("absent"): ("absent",)}
        for source, names in cases.items():
            done = sot_eval("judge-pairs", "--questions", self.questions, "-o", "-", self.mine,
                            source)
            self.refused(done, source, *names)
            self.assertEqual(done.stdout, b"")

    def test_usage_faults_are_said(self):
        for arguments, name in ((["-o", "-", "x", "y"], "--questions"),
                                (["--questions", "q", "x", "y"], "-o"),
                                (["--questions", "q", "-o", "-", "x"], "baseline")):
            self.refused(sot_eval("judge-pairs", *arguments), name, code=2)


class Verdicts(Judged):
    """Pairs are made here, not by judge-pairs, so that a fault of one does not hide in both."""

    def prompts(self, categories, candidate="new", baseline="old"):
        return [{"id": f"{i}-{order}", "question_id": i, "category": category, "order": order,
                 "candidate": candidate, "baseline": baseline, "messages": []}
                for i, category in enumerate(categories) for order in ("ab", "ba")]

    def rate(self, prompts, verdicts, *arguments, code=0):
        pairs = self.write("pairs.jsonl", prompts)
        done = sot_eval("win-rate", "--json", "--pairs", pairs, *arguments,
                        self.write("verdicts.jsonl", verdicts))
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout), done

    @staticmethod
    def said(first, second, i):
        """Scores for the candidate as a judge says them: in the second order it is B."""
        return [{"id": f"{i}-ab", "text": f"Because. {MARK[first]}"},
                {"id": f"{i}-ba", "text": f"{MARK[-second]} is mine."}]

    def test_all_nine_combinations_follow_the_paper(self):
        expected = {(1, 1): "win", (1, 0): "win", (0, 1): "win", (1, -1): "tie", (0, 0): "tie",
                    (-1, 1): "tie", (-1, 0): "lose", (0, -1): "lose", (-1, -1): "lose"}
        for (first, second), result in expected.items():
            found, _ = self.rate(self.prompts(["x"]), self.said(first, second, 0))
            counts = {key: found["comparisons"][0]["all"][key] for key in ("win", "tie", "lose")}
            self.assertEqual(counts, {"win": 0, "tie": 0, "lose": 0} | {result: 1},
                             (first, second))
            self.assertEqual(found["rule"], "sum")

    def test_all_nine_combinations_by_the_rule_of_agreement(self):
        for first, second in itertools.product((1, 0, -1), repeat=2):
            found, _ = self.rate(self.prompts(["x"]), self.said(first, second, 0),
                                 "--rule", "agree")
            result = first if first == second else 0
            self.assertEqual(found["comparisons"][0]["all"]["net_win_rate"], result)
            self.assertEqual(found["rule"], "agree")

    def test_rates_and_intervals_are_those_recomputed_here(self):
        rng = random.Random(7)
        categories = [rng.choice(["generic", "math", "roleplay"]) for _ in range(40)]
        scores = [(rng.choice([1, 1, 0, -1]), rng.choice([1, 0, -1])) for _ in categories]
        verdicts = [line for i, pair in enumerate(scores) for line in self.said(*pair, i)]
        rng.shuffle(verdicts)
        found, done = self.rate(self.prompts(categories), verdicts)
        self.assertEqual(done.stderr, b"")
        comparison, = found["comparisons"]
        self.assertEqual((comparison["candidate"], comparison["baseline"]), ("new", "old"))
        results = [sign(first + second) for first, second in scores]
        groups = {"all": results}
        for category, result in zip(categories, results):
            groups.setdefault(category, []).append(result)
        tallies = {"all": comparison["all"]} | {c["category"]: c for c in comparison["categories"]}
        self.assertEqual(set(tallies), set(groups))
        self.assertEqual([c["category"] for c in comparison["categories"]],
                         list(dict.fromkeys(categories)))
        for name, group in groups.items():
            tally = tallies[name]
            self.assertEqual([tally[key] for key in ("questions", "win", "tie", "lose")],
                             [len(group), group.count(1), group.count(0), group.count(-1)])
            self.assertAlmostEqual(tally["net_win_rate"], sum(group) / len(group))
            for end, wanted in zip(tally["interval_95"], interval(group)):
                self.assertAlmostEqual(end, wanted, msg=name)
        self.assertEqual(comparison["orders_agree"], sum(a == b for a, b in scores))
        self.assertEqual(comparison["prefer_first"],
                         sum((a > 0) + (b < 0) for a, b in scores))
        self.assertEqual(comparison["prefer_second"],
                         sum((a < 0) + (b > 0) for a, b in scores))

    def test_unreadable_and_missing_verdicts_are_named_and_left_out(self):
        verdicts = (self.said(1, 1, 0) + self.said(-1, -1, 1)[:1] +
                    [{"id": "2-ab", "text": "neither A nor [B]"}, {"id": "2-ba", "text": "[[A]]"},
                     {"id": "3-ab", "text": "[[A]] or [[B]]"}, {"id": "3-ba", "text": "[[A]]"},
                     {"id": "4-ab", "text": None}, {"id": "4-ba", "text": "[[A]]"}])
        found, done = self.rate(self.prompts(["x"] * 6), verdicts)
        comparison, = found["comparisons"]
        self.assertEqual(comparison["all"]["questions"], 1)
        self.assertEqual(comparison["all"]["net_win_rate"], 1)
        self.assertEqual([(e["question_id"], e["order"]) for e in comparison["excluded"]],
                         [("1", "ba"), ("2", "ab"), ("3", "ab"), ("4", "ab"), ("5", "ab"),
                          ("5", "ba")])
        for name in (b"question 1 ", b"question 2 ", b"question 3 ", b"more than one"):
            self.assertIn(name, done.stderr)

    def test_the_same_mark_twice_is_one_verdict(self):
        verdicts = [{"id": "0-ab", "text": "[[A]] I say: [[A]]"}, {"id": "0-ba", "text": "[[B]]"}]
        found, _ = self.rate(self.prompts(["x"]), verdicts)
        self.assertEqual(found["comparisons"][0]["all"]["win"], 1)

    def test_no_verdict_at_all_is_a_failure(self):
        found, done = self.rate(self.prompts(["x"]), self.said(1, 1, 0)[:1], code=1)
        self.assertIsNone(found["comparisons"][0]["all"])
        self.assertIn(b"no question has a verdict in both orders", done.stderr)

    def test_bad_lines_are_named_with_their_number(self):
        prompts = self.prompts(["x"])
        one = {"id": "0-ab", "text": "[[A]]"}
        cases = [(prompts, [one, one], ["verdicts.jsonl: line 2", "0-ab", "line 1"]),
                 (prompts, [one, {"id": "9-ab", "text": "[[A]]"}], ["line 2", "9-ab"]),
                 (prompts, [one, "", "{"], ["verdicts.jsonl: line 3"]),
                 (prompts, [{"text": "[[A]]"}], ["line 1", '"id"']),
                 (prompts + prompts[:1], [one], ["pairs.jsonl: line 3", "0-ab"]),
                 ([prompts[0] | {"order": "aa"}], [one], ["pairs.jsonl: line 1", "'aa'"]),
                 ([prompts[0], prompts[1] | {"order": "ab"}], [one], ["line 2", "order ab"]),
                 ([{"id": "0-ab"}], [one], ["line 1", '"candidate"'])]
        for made, verdicts, names in cases:
            done = sot_eval("win-rate", "--pairs", self.write("pairs.jsonl", made),
                            self.write("verdicts.jsonl", verdicts))
            self.refused(done, *names)
            self.assertEqual(done.stdout, b"")
        done = sot_eval("win-rate", self.write("verdicts.jsonl", [one]))
        self.refused(done, "--pairs")

    def test_usage_faults_are_said(self):
        self.refused(sot_eval("win-rate"), "no verdicts", code=2)
        self.refused(sot_eval("win-rate", "--rule", "best", "x"), "'best'", code=2)
        self.refused(sot_eval("win-rate", self.path("absent")), "absent")

    def test_table_for_people_has_a_line_for_each_category(self):
        verdicts = self.said(1, 1, 0) + self.said(0, -1, 1) + self.said(1, 0, 2)
        self.write("pairs.jsonl", self.prompts(["generic", "a\u009bb", "generic"]))
        done = sot_eval("win-rate", "--pairs", self.path("pairs.jsonl"),
                        self.write("verdicts.jsonl", verdicts))
        lines = done.stdout.decode().splitlines()
        self.assertEqual(lines[0], "new against old")
        self.assertEqual(lines[2].split()[:6], ["generic", "2", "2", "0", "0", "+100.0%"])
        self.assertEqual(lines[3].split()[:6], ["a\ufffdb", "1", "0", "0", "1", "-100.0%"])
        self.assertEqual(lines[4].split()[:6], ["all", "3", "2", "0", "1", "+33.3%"])

    def test_what_judge_pairs_writes_is_understood(self):
        questions = self.write("questions.jsonl", [{"id": 5, "category": "x", "question": "Q"}])
        answers = [self.write(name, [{"question_id": 5, "choices": [{"turns": [name]}]}])
                   for name in ("new.jsonl", "old.jsonl")]
        done = sot_eval("judge-pairs", "--questions", questions, "-o", self.path("pairs.jsonl"),
                        *answers)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.path("pairs.jsonl"), encoding="utf-8") as file:
            prompts = [json.loads(line) for line in file]
        verdicts = []
        for prompt in prompts: # a judge that likes new.jsonl, wherever it is shown
            text = prompt["messages"][-1]["content"]
            first = text.index("new.jsonl") < text.index("old.jsonl")
            verdicts.append({"id": prompt["id"], "text": "[[A]]" if first else "[[B]]"})
        found, _ = self.rate(prompts, verdicts)
        self.assertEqual(found["comparisons"][0]["all"]["win"], 1)


class FastChat(Judged):
    def record(self, i, first, second, **more):
        return {"question_id": i, "model_1": "new", "model_2": "old", "g1_winner": first,
                "g2_winner": second, "judge": ["j", "pair"], "turn": 1, "tstamp": 0} | more

    def rate(self, records, *arguments, code=0):
        done = sot_eval("win-rate", "--json", *arguments, self.write("v.jsonl", records))
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout) if done.stdout else None, done

    def test_winners_are_models_not_places(self):
        names = {"model_1": 1, "tie": 0, "model_2": -1}
        for first, second in itertools.product(names, repeat=2):
            record = self.record(1, first, second)
            found, _ = self.rate([record])
            wanted = sign(names[first] + names[second])
            self.assertEqual(found["comparisons"][0]["all"]["net_win_rate"], wanted)
            found, _ = self.rate([record], "--candidate", "old")
            self.assertEqual(found["comparisons"][0]["all"]["net_win_rate"], -wanted)
            self.assertEqual(found["comparisons"][0]["baseline"], "new")

    def test_error_is_left_out_and_categories_come_from_questions(self):
        questions = self.write("q.jsonl", [
            {"question_id": 1, "category": "c1", "turns": ["Q"]},
            {"question_id": 2, "category": "c2", "turns": ["Q"]},
            {"question_id": 3, "category": "c2", "turns": ["Q"]}])
        found, done = self.rate([self.record(1, "error", "model_1"),
                                 self.record(2, "model_1", "tie")], "--questions", questions)
        comparison, = found["comparisons"]
        self.assertEqual([(c["category"], c["win"]) for c in comparison["categories"]],
                         [("c2", 1)])
        self.assertEqual([(e["question_id"], e["order"]) for e in comparison["excluded"]],
                         [("1", "ab"), ("3", "ab"), ("3", "ba")])
        self.assertIn(b"'error'", done.stderr)

    def test_bad_records_are_named(self):
        good = self.record(1, "tie", "tie")
        for records, names in (
                ([good, good], ["line 2", "question 1"]),
                ([good, self.record(2, "tie", "tie", model_1="x")], ["line 2", "'new'"]),
                ([good, {"question_id": 3}], ["line 2", '"model_1"']),
                ([self.record(None, "tie", "tie")], ["line 1", "question_id"])):
            _, done = self.rate(records, code=1)
            self.refused(done, *names)

    def test_a_second_turn_counts_for_itself(self):
        found, _ = self.rate([self.record(1, "model_1", "model_1"),
                              self.record(1, "model_2", "model_2", turn=2)])
        self.assertEqual(found["comparisons"][0]["all"]["questions"], 2)


if __name__ == "__main__":
    unittest.main()
