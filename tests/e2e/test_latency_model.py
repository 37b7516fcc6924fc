"""sot-bench profile and sot-bench estimate from outside: arguments, profiles of a tiny model, and
estimates against a second implementation of the latency model, written here from
docs/latency-model.md, on tables of random numbers."""
import json
import os
import random
import signal
import subprocess
import sys
import unittest

from programs import (BUILD, TIMEOUT, TINY, Folder, check_refused, default_interrupt,
                      environment, run, sanitized, wait_for_handler)

PROGRAM = os.path.join(BUILD, "examples", "sot-bench")
TABLES = ("prefill", "decode", "rows", "past", "shared")
PAGE, CHUNK, BATCH = 16, 48, 6
MODEL = {"name": "made up", "n_layer": 3, "n_head": 8, "n_kv": 2, "d_head": 16, "d_model": 96,
         "d_ff": 200, "n_vocab": 1000, "weight_bytes": 1500000}


def bench(*arguments, **options):
    return run("sot-bench", *arguments, **options)


def make_profile(seed):
    """Times that grow along both axes, by no formula; some cells are missing."""
    generator = random.Random(seed)

    def table(batches, lengths, base, by_batch, by_length):
        rows = []
        for batch in batches:
            rows.append([round(1000 * (base + by_batch * batch + by_length * batch * length) *
                               generator.uniform(0.9, 1.1)) for length in lengths])
        return {"batches": batches, "lengths": lengths, "ns": rows}

    made = {
        "prefill": table([1, 4, 16], [1, 11, 61, 251, 691], 300, 5, 9),
        "decode": table([1, 2, 4, 6, 16], [1, 128, 1024], 250, 30, 0.1),
        "rows": table([1], [1, 2, 4, 8, 16, 32, 48], 260, 0, 8),
        "past": table([1, 16, 48], [0, 500], 300, 8, 0.02),
        "shared": table([2, 4, 6], [0, 256, 992], 250, 30, 0.01),
    }
    made["prefill"]["ns"][2][3:] = [None, None]
    made["decode"]["ns"][3][1] = None
    return {"format": "sot-profile", "format_version": 1, "libsot": "0.1.0", "machine": "a test",
            "device": "cpu", "isa": "avx2", "grid": "sparse", "n_cells_left_out": 0,
            "session": {"n_threads": 2, "n_ctx": 2048, "max_batch": BATCH, "chunk_rows": CHUNK},
            "model": MODEL, **made}


class Model:
    """The latency model once more."""

    def __init__(self, profile):
        self.profile = profile

    @staticmethod
    def line(points, x):
        """Linear between points, straight on beyond the last but never down, level below."""
        points = [(at, y) for at, y in points if y is not None]
        if x <= points[0][0]:
            return points[0][1]
        for (x0, y0), (x1, y1) in zip(points, points[1:]):
            if x <= x1:
                return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
        if len(points) == 1:
            return points[0][1]
        (x0, y0), (x1, y1) = points[-2:]
        return y1 + max(0, (y1 - y0) / (x1 - x0)) * (x - x1)

    def at(self, name, batch, length):
        table = self.profile[name]
        return self.line([(b, self.line(list(zip(table["lengths"], row)), length))
                          for b, row in zip(table["batches"], table["ns"])], batch)

    def decode(self, batch, own, shared=0):
        if batch == 1:
            return self.at("decode", 1, max(1, own + shared))
        ns = self.at("decode", batch, max(1, own))
        if shared:
            ns += max(0, self.at("shared", batch, shared) - self.at("shared", batch, 0))
        return ns

    def pass_ns(self, prompts, decoding, n_picks, shared):
        """prompts: for each row of a prompt, the tokens before it; decoding: each row's own."""
        if not prompts:
            return self.decode(len(decoding), sum(decoding) / len(decoding), shared)
        n = len(prompts) + len(decoding)
        share = 2 * MODEL["n_vocab"] * MODEL["d_model"] / MODEL["weight_bytes"]
        ns = self.at("rows", 1, n) - share * self.at("decode", 1, 1)
        if n_picks:
            ns += share * self.at("decode", n_picks, 1)
        token = max(0, self.at("past", n, 500) - self.at("past", n, 0)) / (500 * n)
        ns += token * (sum(prompts) - sum(range(n)))
        if decoding:
            ns += self.decode(len(decoding), sum(decoding) / len(decoding), shared)
            ns -= self.at("decode", len(decoding), 1)
        return max(0, ns)

    def prompt(self, found, size, picks):
        ns = 0
        for begin in range(found, size, CHUNK):
            end = min(begin + CHUNK, size)
            ns += self.pass_ns(list(range(begin, end)), [], int(picks and end == size), 0)
        return ns

    def text(self, found, size, n_tokens):
        return self.prompt(found, size, True) + sum(self.decode(1, size + i)
                                                    for i in range(n_tokens - 1))

    def expand(self, common, found, tail, tokens):
        if len(tokens) == 1:
            return self.text(found, common + tail, tokens[0])
        shared, copied = common - common % PAGE, common % PAGE
        waiting = [{"left": tail, "own": copied, "want": want} for want in tokens]
        active, ns = [], self.prompt(found, common, False)
        while active or waiting:
            while waiting and len(active) < BATCH:
                active.append(waiting.pop(0))
            room = CHUNK - sum(job["left"] <= 1 for job in active)
            prompts, decoding, picks = [], [], 0
            for job in active:
                if job["left"] == 0:
                    decoding.append(job["own"])
                    taken = 0
                else:
                    taken = 1 if job["left"] == 1 else min(job["left"], room)
                    room -= taken if job["left"] > 1 else 0
                    prompts += [shared + job["own"] + i for i in range(taken)]
                    job["left"] -= taken
                job["own"] += taken if taken or job["left"] else 1
                if job["left"] == 0:
                    picks += 1
                    job["want"] -= 1
            ns += self.pass_ns(prompts, decoding, picks, shared)
            active = [job for job in active if job["want"] > 0]
        return ns

    def paper(self, l_i, l_o, batch):
        """T of equation (1), and P of (4)."""
        steps = sum(self.at("decode", batch, k) for k in range(l_i, l_i + l_o))
        query, value = MODEL["n_head"] * MODEL["d_head"], MODEL["n_kv"] * MODEL["d_head"]
        width = MODEL["d_model"]
        weights = MODEL["n_layer"] * (2 * width * query + 2 * width * value + 3 * width *
                                      MODEL["d_ff"]) + width * MODEL["n_vocab"]
        flops = sum(batch * (2 * weights + 4 * MODEL["n_layer"] * query * (k + 1))
                    for k in range(l_i, l_i + l_o))
        return self.at("prefill", batch, l_i // 10 * 10 + 1) + steps, flops / (steps / 1e9)


class Bench(Folder):
    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return json.load(file)

    def refused(self, *arguments, names, code=2):
        check_refused(self, "sot-bench", bench(*arguments), names, code=code)


class Estimates(Bench):
    def estimate(self, profile, *arguments):
        done = bench("estimate", "-p", self.write("p.json", profile), "--json",
                     self.path("e.json"), *arguments)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return self.read("e.json"), done.stdout.decode()

    def test_estimates_are_those_of_the_second_implementation(self):
        generator = random.Random(5)
        for seed in range(24):
            profile, model = make_profile(seed), Model(make_profile(seed))
            n = generator.choice([1, 2, 3, 5, 6, 7, 13])
            points = [generator.randint(1, 60) for _ in range(n)]
            normal, skeleton = generator.randint(1, 400), generator.randint(1, 60)
            question, stage1 = generator.randint(1, 40), generator.randint(2, 200)
            common, tail = generator.randint(0, 150), generator.randint(1, 70)
            found = generator.randint(0, stage1 - 1), generator.randint(0, common)
            estimate = self.estimate(
                profile, "--lengths", f"{normal}:{skeleton}:{','.join(map(str, points))}",
                "--prompts", f"{question}:{stage1}:{common}:{tail}",
                "--found", f"{found[0]}:{found[1]}")[0]["estimates"][0]
            expected = {"normal_ns": model.text(0, question, normal),
                        "skeleton_ns": model.text(found[0], stage1, skeleton),
                        "expand_ns": model.expand(common, found[1], tail, points)}
            expected["sot_ns"] = expected["skeleton_ns"] + expected["expand_ns"]
            expected["speedup"] = expected["normal_ns"] / expected["sot_ns"]
            expected["bound"] = normal / (skeleton + max(points))
            for name, request in {"normal": (question, normal, 1),
                                  "skeleton": (stage1, skeleton, 1),
                                  "expand": (common + tail, max(points), n)}.items():
                expected[f"paper_{name}_ns"], flops = model.paper(*request)
                if name != "skeleton":
                    expected[f"paper_{name}_flops"] = flops
            expected["paper_speedup"] = expected["paper_normal_ns"] / (
                expected["paper_skeleton_ns"] + expected["paper_expand_ns"])
            for name, value in expected.items():
                self.assertAlmostEqual(estimate[name] / value, 1, places=9, msg=(seed, name))

    def test_extrapolating_is_said(self):
        found, printed = self.estimate(make_profile(1), "--lengths", "100:10:20,20")
        self.assertFalse(found["estimates"][0]["extrapolated"])
        self.assertNotIn("straight line", printed)
        found, printed = self.estimate(make_profile(1), "--lengths", "3000:10:20,20")
        self.assertTrue(found["estimates"][0]["extrapolated"])
        self.assertIn("some estimates go beyond", printed)

    def test_lengths_of_the_paper_are_the_default_and_fig11_is_all(self):
        found, printed = self.estimate(make_profile(1))
        self.assertEqual(found["estimates"][0]["name"], "LLaMA2-Chat-7B, average")
        self.assertIn("the paper's equations", printed)
        found, _ = self.estimate(make_profile(1), "--fig11")
        self.assertEqual(len(found["estimates"]), 130)
        self.assertEqual(len({one["name"] for one in found["estimates"]}), 130)

    def test_break_even_is_where_estimates_say(self):
        profile = make_profile(2)
        found, printed = self.estimate(profile, "--break-even", "--max-points", "9")
        self.assertEqual([one["point_tokens"] for one in found["break_even"]],
                         [16, 32, 64, 128, 256, 512])
        self.assertEqual(found["estimates"], [])
        self.assertIn("SoT pays off", printed)
        model = Model(profile)
        for one in found["break_even"]:
            tokens, speedups = one["point_tokens"], {}
            for n in range(1, 10):
                skeleton = round(8.43 * n)
                speedups[n] = model.text(0, 13, n * tokens) / (
                    model.text(0, 171, skeleton) +
                    model.expand(40 + skeleton, 0, 23, [tokens] * n))
            first = min((n for n in speedups if all(speedups[i] > 1 for i in range(n, 10))),
                        default=None)
            self.assertEqual(one["n_points"], first)
            self.assertAlmostEqual(one["speedup"], speedups[first or 9], places=6)
            self.assertAlmostEqual(one["max_speedup"], max(speedups.values()), places=6)
        one, _ = self.estimate(profile, "--point-tokens", "80", "--lengths", "9:9:9")
        self.assertEqual((len(one["break_even"]), len(one["estimates"])), (1, 1))

    def test_check_replays_what_is_estimated(self):
        profile = self.path("tiny.json")
        done = bench("profile", "-m", TINY, "-o", profile, "--cell-ms", "1", "--max-batch", "4")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        n_rounds = 1 if sanitized() else 2
        done = bench("estimate", "-p", profile, "--lengths", "30:8:9,7,4", "--check", TINY,
                     "--rounds", str(n_rounds), "--json", self.path("e.json"))
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(f"replayed {n_rounds} times".encode(), done.stdout)
        check = self.read("e.json")["estimates"][0]["check"]
        self.assertEqual(set(check), {"normal", "first_skeleton", "first_expansions",
                                      "later_skeleton", "later_expansions"})
        for phase in check.values():
            self.assertEqual([len(times) for times in phase.values()], [n_rounds] * 2)
            self.assertGreater(min(phase["estimated_ns"] + phase["measured_ns"]), 1000)
        done = bench("estimate", "-p", profile, "--check", "random:128x2x4x128x300")
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"another shape", done.stderr)

    def test_arguments_are_checked(self):
        profile = self.write("p.json", make_profile(1))
        self.refused("estimate", names="a profile is needed")
        self.refused("estimate", "-p", "/no/such.json", names="/no/such.json", code=1)
        self.refused("estimate", "-p", self.write("x.json", "{}"), names="x.json: format is missing", code=1)
        for option in (["--prompts", "1:2:3"], ["--prompts", "1:2:3:4:5"], ["--prompts", "1:2:3:x"],
                       ["--found", "1"], ["--found", ":"], ["--found", "1:2:3"]):
            self.refused("estimate", "-p", profile, *option, names=option[0])
        self.refused("estimate", "-p", profile, "--lengths", "1:1:1", "--fig11", names="exclude")
        self.refused("estimate", "-p", profile, "--check", TINY, "--fig11", names="--check")
        self.refused("estimate", "-p", profile, "--lengths", "1:2", names="--lengths")
        self.refused("estimate", "-p", profile, "--fast", names="sot-bench estimate --help")
        self.refused("estimate", "-p", profile, "again", names="'again'")
        done = bench("estimate", "-p", profile, "--prompts", "1:0:1:1")
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"skeleton_prompt is 0", done.stderr)
        done = bench("estimate", "-p", profile, "--json", "/no/such/e.json")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"/no/such/e.json", done.stderr)

    def test_what_a_profile_calls_its_machine_does_not_drive_the_terminal(self):
        profile = make_profile(1)
        profile["machine"] = "\x1b[2J"
        self.assertNotIn("\x1b", self.estimate(profile)[1])


class Profiles(Bench):
    def profile(self, *arguments):
        done = bench("profile", "-m", TINY, "-o", self.path("p.json"), "--cell-ms", "1", *arguments)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return self.read("p.json"), done.stdout.decode()

    def cells(self, profile, name):
        return sum(ns is not None for row in profile[name]["ns"] for ns in row)

    def test_profile_says_what_it_was_measured_on(self):
        found, printed = self.profile("--threads", "1", "--isa", "portable", "--machine", "mine")
        self.assertEqual((found["machine"], found["isa"], found["device"], found["grid"]),
                         ("mine", "portable", "cpu", "sparse"))
        self.assertEqual(found["session"]["n_threads"], 1)
        self.assertEqual(found["session"]["max_batch"], 16)
        self.assertEqual([found["model"][key] for key in ("n_layer", "d_model", "d_ff", "n_vocab")],
                         [2, 64, 128, 300])
        self.assertEqual(found["n_cells_left_out"], 0)
        self.assertEqual(found["prefill"]["batches"], [1, 4, 16])
        self.assertEqual(found["decode"]["lengths"], [1, 256, 1024])
        self.assertEqual(found["rows"]["lengths"][-1], found["session"]["chunk_rows"])
        for heading in ("machine    mine", "Prompts", "Decoding", "kept in"):
            self.assertIn(heading, printed)

    def test_full_grid_is_the_papers(self):
        found, _ = self.profile("--full", "--max-batch", "2", "--max-context", "70")
        self.assertEqual(found["grid"], "full")
        self.assertEqual(found["prefill"]["lengths"], [1, 11, 21, 31, 41, 51, 61])
        self.assertEqual(found["decode"]["lengths"], list(range(1, 71)))
        self.assertEqual(self.cells(found, "decode"), 2 * 70)
        self.assertEqual(self.cells(found, "prefill"), 2 * 7)

    def test_refresh_has_the_same_cells(self):
        was, _ = self.profile("--max-batch", "4")
        os.rename(self.path("p.json"), self.path("was.json"))
        now, _ = self.profile("--refresh", self.path("was.json"))
        for name in TABLES:
            for key in ("batches", "lengths"):
                self.assertEqual(was[name][key], now[name][key])
            self.assertEqual(self.cells(was, name), self.cells(now, name))
        self.assertEqual(was["model"], now["model"])
        done = bench("profile", "-m", "random:128x2x4x128x300", "--refresh", self.path("was.json"))
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"another shape", done.stderr)

    def test_arguments_are_checked(self):
        self.refused("profile", "-m", "/no/such.gguf", names="/no/such.gguf", code=1)
        self.refused("profile", "--max-batch", "0", names="--max-batch '0'")
        self.refused("profile", "--prefill-repeats", "2", names="--prefill-repeats '2'")
        self.refused("profile", "--device", "gpu", names="'gpu'")
        self.refused("profile", "--full", "--refresh", "x.json", names="--refresh")
        self.refused("profile", "--refresh", "/no/such.json", names="/no/such.json", code=1)
        self.refused("profile", "--lengths", "1:1:1", names="sot-bench profile --help")
        done = bench("profile", "-m", TINY, "--cell-ms", "1", "--max-batch", "1", "-o",
                     "/no/such/p.json")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"/no/such/p.json", done.stderr)

    def test_interrupt_ends_it_without_a_file(self):
        process = subprocess.Popen(
            [PROGRAM, "profile", "-m", "random:512x8x8x1376x2000", "--full", "-o",
             self.path("p.json")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
            preexec_fn=default_interrupt)
        wait_for_handler(process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, 130, errors)
        self.assertFalse(os.path.exists(self.path("p.json")))


if __name__ == "__main__":
    print(f"testing {PROGRAM}", file=sys.stderr)
    unittest.main()
