"""sot-eval report: the page's structure, its numbers recomputed here from the same records, the
paper's numbers on it, hostile text, and that it loads nothing."""
import html
import html.parser
import json
import math
import os
import random
import re
import statistics
import sys
import unittest

from eval_records import decided, record
from programs import SHARED, TINY, Folder, run

CATEGORIES = ["coding", "math", "fermi", "roleplay", "writing", "knowledge", "generic",
              "counterfactual", "common-sense"]
HOSTILE = "</pre><script>alert('x')</script> & \"q\" <marquee>'\u0007\u009b \ud7ff&amp;"
VOID = {"meta", "br", "link", "img", "input", "hr"}
LOADS = {"src", "srcset", "data", "poster", "action", "background", "formaction", "manifest"}


class Page(html.parser.HTMLParser):
    """The page as tables of cell texts under their class, headings, and what might load."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open = []
        self.tables = {}
        self.tags = set()
        self.headings = []
        self.loads = []
        self.details = []
        self.texts = []
        self.table = self.cell = self.heading = None
        self.faults = []
        self.feed(text)
        self.close()
        if self.open:
            self.faults.append(f"never closed: {self.open}")

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in LOADS or name.startswith("on"):
                self.loads.append((tag, name, value))
            if name in ("href", "xlink:href") and not value.startswith("#"):
                self.loads.append((tag, name, value))
            if name == "style" and "url(" in value:
                self.loads.append((tag, name, value))
        if tag == "table":
            self.table = []
            self.tables.setdefault(attributes.get("class", ""), []).append(self.table)
        if tag == "tr":
            self.table.append([])
        if tag in ("td", "th"):
            self.cell = []
        if tag in ("h1", "h2", "h3"):
            self.heading = []
        if tag == "details":
            self.details.append(attributes.get("class", ""))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> where {self.open[-3:]} is open, {self.getpos()}")
        if tag in ("td", "th"):
            self.table[-1].append("".join(self.cell))
            self.cell = None
        if tag in ("h1", "h2", "h3"):
            self.headings.append("".join(self.heading))
            self.heading = None

    def handle_data(self, data):
        self.texts.append(data)
        for kept in (self.cell, self.heading):
            if kept is not None:
                kept.append(data)

    def rows(self, name, i=0):
        """First cell -> the others, of a table's body."""
        return {row[0]: row[1:] for row in self.tables[name][i]}


class Reported(Folder):
    def make_run(self, records, name="run", facts=None):
        path = os.path.join(self.folder, name)
        os.mkdir(path)
        with open(os.path.join(path, "run.json"), "w", encoding="utf-8") as file:
            json.dump(facts or {"program": "sot-eval", "version": "0.1.0",
                                "model": {"name": "m", "n_parameters": 5}, "session": {},
                                "questions": {"file": "q.jsonl"}}, file)
        with open(os.path.join(path, "records.jsonl"), "w", encoding="utf-8") as file:
            for value in records:
                file.write(json.dumps(value) + "\n")
        return path

    def report(self, *arguments, code=0):
        page = os.path.join(self.folder, "page.html")
        numbers = os.path.join(self.folder, "numbers.json")
        done = run("sot-eval", "report", "-o", page, "--json", numbers, *arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        if code:
            return None, None, done
        self.assertEqual(done.stderr, b"")
        with open(page, encoding="utf-8") as file:
            text = file.read()
        with open(numbers, encoding="utf-8") as file:
            return text, json.load(file), done


def vicuna_like(seed=3, routed=True):
    rng = random.Random(seed)
    records = []
    for i in range(1, 31):
        category = CATEGORIES[i % len(CATEGORIES)]
        records += [record(rng, i, category, "normal"), record(rng, i, category, "sot")]
        if routed:
            label = rng.choice(["sot", "sot", "normal", "undecided"])
            records.append(record(rng, i, category, "routed", **decided(label)))
    return records


def by_mode(records):
    found = {}
    for value in records:
        found.setdefault(value["question_id"], {})[value["mode"]] = value
    return found


def mean_of_means(records, value):
    """The paper's average: over categories, of the means over their questions."""
    groups = {}
    for modes in by_mode(records).values():
        groups.setdefault(modes["normal"]["category"], []).append(value(modes))
    return {name: statistics.fmean(group) for name, group in groups.items()}


def total(value):
    return value["stats"]["total_ns"]


class Numbers(Reported):
    def setUp(self):
        super().setUp()
        self.records = vicuna_like()
        self.text, self.numbers, _ = self.report(self.make_run(self.records))
        self.page = Page(self.text)
        self.run, = self.numbers["runs"]

    def compare(self, shown, wanted, decimals):
        self.assertEqual(shown, f"{wanted:.{decimals}f}")

    def test_speed_table_is_recomputed(self):
        rows = self.page.rows("speed")
        speedups = mean_of_means(self.records, lambda m: total(m["normal"]) / total(m["sot"]))
        routed = mean_of_means(self.records, lambda m: total(m["normal"]) / total(m["routed"]))
        # questions, normal s, SoT s, SoT-R s, SoT, paper, SoT-R, of sums, bound, reached
        for name, wanted in speedups.items():
            self.compare(rows[name][4], wanted, 2)
            self.compare(rows[name][6], routed[name], 2)
        self.compare(rows["average"][4], statistics.fmean(speedups.values()), 2)
        self.compare(rows["average"][6], statistics.fmean(routed.values()), 2)
        questions = by_mode(self.records).values()
        every = rows["all questions"]
        sums = {mode: sum(total(m[mode]) for m in questions) for mode in ("normal", "sot")}
        steps = sum(m["sot"]["stats"]["skeleton"]["decode_tokens"] +
                    max(p["tokens"] for p in m["sot"]["points"]) for m in questions)
        bound = sum(m["normal"]["n_tokens"] for m in questions) / steps
        self.assertEqual(every[0], "30")
        self.compare(every[1], sums["normal"] / 30 / 1e9, 3)
        self.compare(every[4], statistics.fmean(total(m["normal"]) / total(m["sot"])
                                                for m in questions), 2)
        self.compare(every[7], sums["normal"] / sums["sot"], 2)
        self.compare(every[8], bound, 2)
        self.compare(every[9], 100 * sums["normal"] / sums["sot"] / bound, 0)

    def test_length_table_is_recomputed(self):
        rows = self.page.rows("lengths")
        lengths = lambda m: [p["tokens"] for p in m["sot"]["points"]]
        # After the count: six figures, each the run's and the paper's, then skeleton tokens.
        figures = [(lambda m: len(lengths(m)), 1), (lambda m: m["normal"]["n_tokens"], 1),
                   (lambda m: max(lengths(m)), 1),
                   (lambda m: max(lengths(m)) / m["normal"]["n_tokens"], 2),
                   (lambda m: statistics.pstdev(lengths(m)), 1),
                   (lambda m: m["sot"]["answer_tokens"] / m["normal"]["answer_tokens"], 2)]
        for i, (value, decimals) in enumerate(figures):
            means = mean_of_means(self.records, value)
            for name, wanted in means.items():
                self.compare(rows[name][1 + 2 * i], wanted, decimals)
            self.compare(rows["average"][1 + 2 * i], statistics.fmean(means.values()), decimals)

    def test_router_is_counted(self):
        counts = {"tn": 0, "fp": 0, "fn": 0, "tp": 0}
        n_undecided = 0
        for value in self.records:
            if value["mode"] == "routed":
                chose = value["decision"]["label"] == "sot"
                right = chose == bool(value["suitable"])
                counts[("t" if right else "f") + ("p" if chose else "n")] += 1
                n_undecided += value["decision"]["label"] == "undecided"
        routing = self.run["routed"]["routing"]
        self.assertEqual({name: routing[name] for name in counts}, counts)
        matrix = self.page.tables["confusion"][0]
        self.assertEqual(matrix[1][1:], [str(counts["tn"]), str(counts["fp"])])
        self.assertEqual(matrix[2][1:], [str(counts["fn"]), str(counts["tp"])])
        accuracy = (counts["tn"] + counts["tp"]) / 30
        self.assertIn(f"accuracy {accuracy:.3f}", matrix[3][0])
        self.assertIn("0.40 ms", matrix[3][0])
        self.assertIn(f"could not decide on {n_undecided}", "".join(self.page.texts))
        self.assertEqual(sum(row["n_suitable"] for row in self.run["rows"]
                             if row["category"] != "all questions"), 15)

    def test_json_has_the_same_numbers(self):
        sot = self.run["sot"]
        speedups = mean_of_means(self.records, lambda m: total(m["normal"]) / total(m["sot"]))
        self.assertAlmostEqual(sot["average"]["speedup_mean"],
                               statistics.fmean(speedups.values()), places=6)
        groups = {}
        for modes in by_mode(self.records).values():
            groups.setdefault(len(modes["sot"]["points"]), []).append(
                total(modes["normal"]) / total(modes["sot"]))
        self.assertEqual([g["points"] for g in self.run["by_points"]], sorted(groups))
        for group in self.run["by_points"]:
            wanted = groups[group["points"]]
            self.assertEqual(group["questions"], len(wanted))
            self.assertAlmostEqual(group["speedup_mean"], statistics.fmean(wanted), places=6)
        times = {row["category"]: row["times"] for row in self.run["rows"]}
        for stage_name, phase in (("skeleton", "prefill"), ("expand", "decode")):
            wanted = statistics.fmean(m["sot"]["stats"][stage_name][f"{phase}_ns"] / 1e9
                                      for m in by_mode(self.records).values())
            self.assertAlmostEqual(times["all questions"]["sot"][stage_name][f"{phase}_s"], wanted)
        self.assertAlmostEqual(times["all questions"]["sot"]["rest_s"], 12345e-9)
        self.assertEqual(self.run["data"], "vicuna80")

    def test_memory_is_the_ratio_of_peaks(self):
        wanted = (max(r["peak_bytes"] for r in self.records if r["mode"] == "sot") /
                  max(r["peak_bytes"] for r in self.records if r["mode"] == "normal"))
        every = self.run["sot"]["categories"][-1]
        self.assertAlmostEqual(every["memory"], wanted, places=6)

    def test_same_records_make_the_same_page(self):
        again, numbers, _ = self.report(os.path.join(self.folder, "run"))
        self.assertEqual(again, self.text)
        self.assertEqual(numbers, self.numbers)

    def test_page_is_well_formed_and_has_every_part(self):
        self.assertEqual(self.page.faults, [])
        for heading in ("What was run", "Speed-up by category", "Beside the paper's models",
                        "Where the time goes", "Points and lengths", "Router", "Peak memory",
                        "Remarks", "Questions and answers"):
            self.assertIn(heading, self.page.headings)
        self.assertEqual(self.page.details.count("question"), 30)
        self.assertIn("svg", self.page.tags)

    def test_page_loads_nothing(self):
        self.assertEqual(self.page.loads, [])
        self.assertFalse(self.page.tags & {"script", "link", "img", "iframe", "object", "embed",
                                           "base", "form", "use", "image"})
        self.assertNotRegex(self.text, r"url\(|@import|https?://|//[a-z]+\.")


class Paper(Reported):
    """The numbers that the program carries against the published ones."""

    @classmethod
    def setUpClass(cls):
        path = os.path.join(SHARED, "data", "paper_tables.json")
        if not os.path.isfile(path):
            print(f"SKIPPED Paper: no {path}", file=sys.stderr)
            raise unittest.SkipTest(f"no {path}")
        with open(path, encoding="utf-8") as file:
            cls.published = json.load(file)

    def page(self, *arguments, records=None):
        text, _, _ = self.report(*arguments, self.make_run(records or vicuna_like()))
        return Page(text)

    def test_speed_by_category(self):
        rows = self.page().rows("speed")
        published = self.published["fig2_sot_speedup_by_category"]
        for name in CATEGORIES:
            self.assertEqual(rows[name][5], f"{published[name]:.2f}")
        mean = statistics.fmean(self.published["fig2_sot_speedup_by_model"].values())
        self.assertEqual(rows["average"][5], f"{mean:.2f}")

    def test_speed_by_model(self):
        rows = self.page().rows("models")
        keys = ["fig2_sot_speedup_by_model", "fig14_measured_speedup_by_model",
                "fig15a_sotr_prompting_router_vicuna80", "fig15b_sotr_trained_router_vicuna80"]
        names = set(self.published[keys[0]])
        self.assertEqual(names | {"m", "model"}, set(rows))
        for name in names:
            wanted = [self.published[key].get(name) for key in keys]
            self.assertEqual(rows[name], ["–" if value is None else f"{value:.2f}"
                                          for value in wanted])

    def test_lengths(self):
        figures = ["points", "normal_answer_tokens", "max_point_tokens", "max_point_over_normal",
                   "point_tokens_stddev", "sot_over_normal_tokens"]
        published = self.published["fig11_vicuna80_statistics"]
        folder = self.make_run(vicuna_like())
        for model in published["points"]["average"]:
            text, _, _ = self.report("--paper-model", model, "--no-questions", folder)
            rows = Page(text).rows("lengths")
            for i, figure in enumerate(figures):
                for name in CATEGORIES + ["average"]:
                    self.assertEqual(rows[name][2 + 2 * i],
                                     f"{published[figure][name][model]:.1f}", (model, figure))

    def test_routers(self):
        for table, records in (("table3_router_confusion_vicuna80", vicuna_like()),
                               ("table4_router_confusion_wizardlm",
                                [r | {"difficulty": 3} for r in vicuna_like()])):
            text, _, _ = self.report(self.make_run(records, name=table))
            matrices = Page(text).tables["confusion paper"]
            published = self.published[table]
            self.assertEqual(len(matrices), 2)
            for matrix, name in zip(matrices, ("human_vs_gpt4", "human_vs_roberta")):
                wanted = published[name]
                self.assertEqual(matrix[1][1:], [str(wanted["tn"]), str(wanted["fp"])])
                self.assertEqual(matrix[2][1:], [str(wanted["fn"]), str(wanted["tp"])])

    def test_json_has_them_too(self):
        _, numbers, _ = self.report(self.make_run(vicuna_like()))
        rows = {row["category"]: row for row in numbers["paper"]["vicuna80"]}
        figures = {"points": "points", "normal_tokens": "normal_answer_tokens",
                   "longest_point": "max_point_tokens",
                   "longest_over_normal": "max_point_over_normal",
                   "balance": "point_tokens_stddev",
                   "answer_over_normal": "sot_over_normal_tokens"}
        published = self.published["fig11_vicuna80_statistics"]
        for name in CATEGORIES + ["average"]:
            for member, figure in figures.items():
                self.assertEqual(rows[name][member], published[figure][name]["all models"])
        for name in CATEGORIES:
            self.assertEqual(rows[name]["speedup"],
                             self.published["fig2_sot_speedup_by_category"][name])
        tables = [self.published["table3_router_confusion_vicuna80"],
                  self.published["table4_router_confusion_wizardlm"]]
        self.assertEqual([{name: router[name] for name in ("tn", "fp", "fn", "tp")}
                          for router in numbers["paper"]["routers"]],
                         [table[name] for table in tables
                          for name in ("human_vs_gpt4", "human_vs_roberta")])

    def test_latency_of_routers_and_memory(self):
        page = "".join(self.page().texts)
        for value in self.published["router_latency_s"]["vicuna80"].values():
            self.assertIn(f"a decision takes {value:.2f} s", page)
        self.assertIn(f"{self.published['memory_peak_overhead_max']}×", page)

    def test_other_questions_have_no_numbers_of_vicuna80_beside_them(self):
        records = [r | {"category": "Cooking"} for r in vicuna_like(routed=False)]
        page = self.page(records=records)
        self.assertNotIn("paper", page.tables["lengths"][0][1])
        self.assertNotIn("Fig. 2b", " ".join(page.tables["speed"][0][0]))
        self.assertNotIn("confusion paper", page.tables)


class Odd(Reported):
    def test_hostile_text_is_shown_and_does_nothing(self):
        rng = random.Random(1)
        records = [record(rng, 1, HOSTILE, mode, question=HOSTILE, answer=HOSTILE,
                          **({"skeleton": HOSTILE} if mode == "sot" else {}))
                   for mode in ("normal", "sot")]
        records.append(record(rng, 1, HOSTILE, "routed", answer="a\u0000b" + HOSTILE,
                              **decided(HOSTILE)))
        records.append(record(rng, 2, "b", "sot", status=HOSTILE, error=HOSTILE, finish=HOSTILE))
        facts = {"model": {"name": HOSTILE}, "questions": {"file": HOSTILE}, HOSTILE: HOSTILE}
        text, numbers, _ = self.report(self.make_run(records, facts=facts))
        page = Page(text)
        self.assertEqual(page.faults, [])
        self.assertEqual(page.loads, [])
        self.assertNotIn("script", page.tags)
        self.assertNotIn("marquee", page.tags)
        shown = HOSTILE.replace("\u0007", "\ufffd").replace("\u009b", "\ufffd")
        everything = "".join(page.texts)
        self.assertGreaterEqual(everything.count(shown), 8)
        self.assertIn("a\ufffdb" + shown, everything)
        self.assertNotRegex(text, "[\x00-\x08\x0b-\x1f\x7f-\x9f]")
        self.assertEqual(numbers["runs"][0]["sot"]["categories"][0]["category"], HOSTILE)

    def test_path_is_escaped(self):
        folder = self.make_run(vicuna_like(), name="a<b>&'\"")
        text, _, _ = self.report(folder)
        self.assertIn(html.escape(folder), text.replace("&#39;", "&#x27;"))
        self.assertEqual(Page(text).faults, [])

    def test_remarks_name_what_went_wrong(self):
        rng = random.Random(2)
        records = [record(rng, i, "x", "normal") for i in range(1, 7)]
        records += [record(rng, 1, "x", "sot"),
                    record(rng, 2, "x", "sot", status="SOT_ERR_CONTEXT_FULL", error="it is full"),
                    record(rng, 3, "x", "sot", lengths=[]),
                    record(rng, 4, "x", "sot", points_dropped=7),
                    record(rng, 5, "x", "sot", finish="length"),
                    record(rng, 6, "x", "sot", answer="")]
        records[9]["points"][0]["finish"] = "stop"
        text, numbers, _ = self.report(self.make_run(records))
        remarks = {r["question_id"]: r["remark"] for r in numbers["runs"][0]["remarks"]}
        self.assertEqual(set(remarks), {2, 3, 4, 5, 6})
        for i, words in {2: "it is full", 3: "no points", 4: "7 points", 5: "length",
                         6: "empty"}.items():
            self.assertIn(words, remarks[i])
            self.assertIn(remarks[i], html.unescape(text))
        self.assertEqual(numbers["runs"][0]["sot"]["categories"][-1]["n_compared"], 5)

    def test_a_limit_on_an_expansion_is_remarked(self):
        value = record(random.Random(2), 1, "x", "sot", lengths=[3, 4, 5])
        value["points"][1]["finish"] = "length"
        _, numbers, _ = self.report(self.make_run([value]))
        self.assertIn("1 of 3 expansions", numbers["runs"][0]["remarks"][0]["remark"])

    def test_one_mode_alone_is_a_page_too(self):
        for mode, absent in (("normal", "Speed-up by category"), ("sot", "Router")):
            records = [record(random.Random(3), 1, "generic", mode)]
            text, numbers, _ = self.report(self.make_run(records, name=mode))
            page = Page(text)
            self.assertEqual(page.faults, [])
            self.assertNotIn(absent, page.headings)
            self.assertNotIn("nan", text.lower().replace("finance", ""))
            self.assertEqual(numbers["runs"][0]["n_questions"], 1)

    def test_all_zero_times_are_no_numbers(self):
        records = vicuna_like()
        for value in records:
            value["stats"]["total_ns"] = 0
            value["peak_bytes"] = 0
        text, numbers, _ = self.report(self.make_run(records))
        self.assertIsNone(numbers["runs"][0]["sot"]["average"]["speedup_mean"])
        self.assertNotRegex(text, r"\b(nan|inf)\b")

    def test_several_runs_are_on_one_page(self):
        folders = [self.make_run(vicuna_like(i), name=f"run{i}") for i in (1, 2)]
        text, numbers, _ = self.report(*folders)
        self.assertEqual([r["path"] for r in numbers["runs"]], folders)
        self.assertEqual(len(Page(text).tables["speed"]), 2)
        self.assertIn('href="#run2"', text)
        self.assertIn('id="run2"', text)

    def test_long_question_is_cut_in_its_summary_only(self):
        question = "é" * 89 + "x" + "é" * 300  # the cut would fall into a character
        records = [record(random.Random(4), 1, "generic", "normal", question=question)]
        text, _, _ = self.report(self.make_run(records))
        summary = re.search(r'class="question"><summary>1\. (\w+…)', text).group(1)
        self.assertTrue(question.startswith(summary[:-1]))
        self.assertEqual(len(summary), 91)
        self.assertIn(f"<pre>{question}</pre>", text)

    def test_questions_can_be_left_out(self):
        folder = self.make_run(vicuna_like())
        text, _, _ = self.report("--no-questions", folder)
        self.assertNotIn("question", Page(text).details)
        self.assertNotIn("Answer 1 normal", text)

    def test_torn_last_record_is_said(self):
        folder = self.make_run(vicuna_like())
        with open(os.path.join(folder, "records.jsonl"), "a", encoding="utf-8") as file:
            file.write('{"question_id": 31, "mode"')
        text, numbers, _ = self.report(folder)
        self.assertIn("last record is incomplete", text)
        self.assertEqual(numbers["runs"][0]["n_questions"], 30)

    def test_faults_are_named_and_nothing_is_written(self):
        good = self.make_run(vicuna_like(), name="good")
        bad = self.make_run([], name="bad")
        cases = [(good, os.path.join(self.folder, "absent"), "absent/run.json"),
                 (good, bad, "bad/records.jsonl: there are no records")]
        no_facts = self.make_run(vicuna_like(), name="no_facts")
        with open(os.path.join(no_facts, "run.json"), "w", encoding="utf-8") as file:
            file.write("{\n\"a\": }")
        cases.append((no_facts, "no_facts/run.json: line 2"))
        broken = self.make_run(vicuna_like() + [{"question_id": 99}], name="broken")
        cases.append((broken, "broken/records.jsonl: line 91"))
        for case in cases:
            _, _, done = self.report(*case[:-1], code=1)
            self.assertIn(case[-1].encode(), done.stderr)
            self.assertFalse(os.path.exists(os.path.join(self.folder, "page.html")))

    def test_usage_faults_are_said(self):
        folder = self.make_run(vicuna_like())
        for arguments, name in (([folder], b"-o"), (["-o", "x"], b"DIR"),
                                (["-o", "-", "--json", "-", folder], b"both"),
                                (["-o", "x", "--paper-model", "GPT-9", folder], b"'GPT-9'"),
                                (["-o", "x", "--colour", folder], b"--colour")):
            done = run("sot-eval", "report", *arguments)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(name, done.stderr)

    def test_standard_output_takes_the_page(self):
        folder = self.make_run(vicuna_like())
        done = run("sot-eval", "report", "-o", "-", folder)
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout.startswith(b"<!DOCTYPE html>"))
        self.assertTrue(done.stdout.endswith(b"</html>\n"))


class RealRun(Reported):
    """What sot-eval run writes is what report and judge-pairs read."""

    def test_run_report_and_judge_pairs_go_together(self):
        questions = os.path.join(self.folder, "questions.jsonl")
        with open(questions, "w", encoding="utf-8") as file:
            for i in (1, 2):
                file.write(json.dumps({"id": i, "category": "generic", "question": f"Why {i}?",
                                       "suitable": 1}) + "\n")
        folder = os.path.join(self.folder, "run")
        done = run("sot-eval", "run", "-m", TINY, "--questions", questions, "-o", folder, "-q",
                   "--modes", "normal,sot,routed", "--router", "always", "--max-tokens", "8",
                   "--max-skeleton-tokens", "8", "--max-point-tokens", "4")
        self.assertEqual(done.returncode, 0, done.stderr)
        text, numbers, _ = self.report(folder)
        self.assertEqual(Page(text).faults, [])
        shown, = numbers["runs"]
        self.assertEqual(shown["n_questions"], 2)
        self.assertEqual(shown["sot"]["categories"][-1]["n_compared"], 2)
        self.assertEqual(shown["routed"]["routing"]["tp"], 2)
        self.assertEqual(shown["routed"]["routing"]["fn"], 0)
        with open(os.path.join(folder, "records.jsonl"), encoding="utf-8") as file:
            answers = {(r["question_id"], r["mode"]): r["answer"] for r in map(json.loads, file)}
        done = run("sot-eval", "judge-pairs", "--questions", questions, "-o", "-",
                   folder + ":sot", os.path.join(folder, "records.jsonl") + ":normal")
        self.assertEqual(done.returncode, 0, done.stderr)
        prompts = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len(prompts), 4)
        for prompt in prompts:
            content = prompt["messages"][1]["content"]
            self.assertIn(answers[prompt["question_id"], "sot"], content)
            self.assertIn(answers[prompt["question_id"], "normal"], content)


class Plots(Reported):
    """Bars are as long as their numbers say."""

    def test_bars_are_in_proportion(self):
        records = vicuna_like(routed=False)
        text, _, _ = self.report("--no-questions", self.make_run(records))
        plot = re.search(r'<svg[^>]*aria-label="\(b\) tokens of the normal answer">.*?</svg>',
                         text, re.S).group(0)
        bars = [(float(width), float(value)) for width, value in re.findall(
            r'<rect class="c0[^>]*width="([\d.]+)"[^>]*><title>this run: ([\d.]+)', plot)]
        self.assertEqual(len(bars), len(CATEGORIES) + 1)
        scale = bars[0][0] / bars[0][1]
        for width, value in bars:
            self.assertTrue(math.isclose(width, value * scale, rel_tol=0.01, abs_tol=0.2))
        means = mean_of_means(records, lambda m: m["normal"]["n_tokens"])
        self.assertEqual(sorted(f"{value:.1f}" for _, value in bars[:-1]),
                         sorted(f"{value:.1f}" for value in means.values()))


if __name__ == "__main__":
    unittest.main()
