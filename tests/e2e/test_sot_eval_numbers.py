"""What sot-eval run says of its records: statistics against formulas written down here, and what
each router decides."""
import json
import math
import os
import random
import statistics
import unittest

from eval_run import Run, whole_run
from programs import DEMO, ROOT, needs_demo

ROUTER = os.path.join(ROOT, "examples", "router", "lima.router")
STAGES = ("normal", "skeleton", "expand", "route")


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
class Statistics(Run):
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
        records, printed = whole_run()
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
class Routed(Run):
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


if __name__ == "__main__":
    unittest.main()
