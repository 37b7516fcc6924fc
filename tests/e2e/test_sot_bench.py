"""sot-bench from outside: arguments, a small model through every case, what is counted against
formulas written down here, the replay's lengths, the carried table of lengths, Ctrl-C."""
import functools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import unittest

from programs import (BUILD, SHARED, TIMEOUT, TINY, check_refused, default_interrupt,
                      environment, run, sot, wait_for_handler)

PROGRAM = os.path.join(BUILD, "examples", "sot-bench")
# TINY's shape.
D, LAYERS, FF, VOCABULARY = 64, 2, 128, 300
# Some seconds a case, so that there is something to interrupt.
SLOW = "random:1024x8x8x2752x2000"
CASES = {"prefill": [(1, n, 0, 0) for n in (1, 16, 128)],
         "decode": [(b, 1, c, 0) for b in (1, 4, 16) for c in (1, 1024)],
         "attention": [(16, 1, 1024, s) for s in (0, 1024)]}


def bench(*arguments, **options):
    return run("sot-bench", *arguments, **options)


@functools.cache
def bench_json(*arguments):
    """The object that --json writes and what is printed; the exit code must be 0."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "results.json")
        done = bench("--quick", "-m", TINY, "--json", path, *arguments)
        assert done.returncode == 0, (done.returncode, done.stderr)
        assert done.stderr == b"", done.stderr
        with open(path, encoding="utf-8") as file:
            return json.load(file), done.stdout.decode()


class Arguments(unittest.TestCase):
    def refused(self, *arguments, names, code=2):
        check_refused(self, "sot-bench", bench(*arguments), names, code=code)

    def test_option_unknown_is_named(self):
        self.refused("--fast", names="'--fast'")
        self.refused("-x", names="'-x'")

    def test_option_without_value_is_named(self):
        self.refused("--threads", names="--threads")
        self.refused("-m", names="-m")
        self.refused("--pin=1", names="--pin")

    def test_argument_is_refused(self):
        self.refused("model.gguf", names="'model.gguf'")

    def test_count_out_of_range_is_named_with_its_value(self):
        for option, values in {"threads": ["0", "257", "x", ""], "repeats": ["0", "10001", "-1"],
                               "replay-repeats": ["0", "1.5"]}.items():
            for value in values:
                self.refused(f"--{option}={value}", names=f"--{option} '{value}'")

    def test_case_unknown_is_named(self):
        self.refused("--cases", "decode,sleep", names="'sleep'")
        self.refused("--cases", "", names="''")

    def test_replay_unknown_is_named(self):
        self.refused("--replay-model", "LLaMA3", names="'LLaMA3'")
        self.refused("--replay-category", "cooking", names="'cooking'")

    def test_lengths_malformed_are_refused(self):
        for value in ["", "378", "378:48", "378:48:", "378:48:99,", "378:48:99;5", "a:b:c",
                      "378:48:9x", " 378:48:99"]:
            self.refused("--lengths", value, names="--lengths")
        self.refused("--lengths", "0:48:99", names="normal answer is 0")
        self.refused("--lengths", "378:0:99", names="skeleton is 0")
        self.refused("--lengths", "378:48:99,0", names="expansion is 0")
        self.refused("--lengths", "378:48:" + ",".join(["9"] * 65), names="64")

    def test_lengths_from_two_sources_are_refused(self):
        self.refused("--lengths", "9:9:9", "--replay-model", "GPT-4", names="exclude")
        self.refused("--write-gguf", "x.gguf", "--json", "x.json", names="--json")

    def test_lengths_file_malformed_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "lengths.json")
            for content, names in [("{", "line 1"), ('{"normal": 3, "skeleton": 4}', "points"),
                                   ('{"skeleton": 4, "points": [1]}', "normal"),
                                   ('{"normal": 3, "skeleton": 4, "points": [1.5]}', "0")]:
                with open(path, "w", encoding="utf-8") as file:
                    file.write(content)
                self.refused("--lengths-file", path, names=names)
            self.refused("--lengths-file", path + "x", names=path + "x")

    def test_model_absent_is_named(self):
        self.refused("-m", "/no/such.gguf", names="/no/such.gguf", code=1)

    def test_isa_unknown_is_named(self):
        self.refused("--isa", "mmx", names="mmx", code=1)

    def test_device_unknown_is_named(self):
        self.refused("--device", "gpu", names="'gpu'")
        self.refused("--device", "cuda0", names="'cuda0'")
        self.refused("--device", "cuda:", names="--device")
        self.refused("--device", "cuda:256", names="'256'")

    def test_device_out_of_reach_is_no_success(self):
        self.refused("--device", "cuda:255", "-m", TINY, names="cuda", code=1)

    def test_json_file_that_cannot_be_written_is_named(self):
        self.refused("--json", "/no/such/folder/x.json", names="/no/such/folder/x.json", code=1)

    def test_version_is_sots(self):
        self.assertEqual(bench("--version").stdout.decode().split()[1],
                         sot("--version").stdout.decode().split()[1])


def weights(with_output=True):
    return LAYERS * (4 * D * D + 3 * D * FF) + (D * VOCABULARY if with_output else 0)


def expected_cost(sequences, new, context, shared):
    """Bytes and operations of a case, for prompts of one pass at most."""
    rows = sequences * new
    positions = shared + sequences * (context - shared) + rows
    attended = sequences * sum(context + i + 1 for i in range(new))
    size = 2 * weights() + 2 * D * rows + 2 * 2 * D * LAYERS * positions
    operations = 2 * rows * weights(False) + 2 * sequences * D * VOCABULARY
    return size, operations + 4 * D * LAYERS * attended


class QuickRun(unittest.TestCase):
    def setUp(self):
        # All, named: then the replay is there however slow the machine is.
        self.found, self.printed = bench_json(
            "--cases", "load,prefill,decode,attention,tokenizer,replay")

    def test_every_case_is_measured(self):
        found = {name: [] for name in CASES}
        for case in self.found["passes"]:
            self.assertNotIn("left_out", case)
            found[case["case"]].append(tuple(case[key] for key in ("sequences", "new_tokens",
                                                                   "context", "shared")))
        self.assertEqual(found, CASES)

    def test_limits_are_positive_and_their_medians_agree_with_the_passes(self):
        limits = self.found["limits"]
        self.assertGreater(len(limits["read_probes"]), 3)
        self.assertEqual(len(limits["read_passes"]), 5 * len(limits["read_probes"]))
        self.assertAlmostEqual(limits["read_bytes_per_s"],
                               statistics.median(limits["read_passes"]), delta=1)
        self.assertEqual(limits["read_best_bytes_per_s"], max(limits["read_passes"]))
        self.assertGreater(min(limits["read_passes"]), 1e7)
        self.assertGreater(limits["fp32_flops"], 1e7)
        self.assertGreater(limits["product_flops"], 0)

    def test_bytes_and_operations_are_those_of_the_shape(self):
        for case in self.found["passes"]:
            size, operations = expected_cost(case["sequences"], case["new_tokens"],
                                             case["context"], case["shared"])
            self.assertEqual(case["bytes"], size, case)
            self.assertEqual(case["flops"], operations, case)

    def test_replay_is_counted_pass_by_pass(self):
        # The normal answer: its prompt, whose last row gives the first token, then single steps.
        size, operations = expected_cost(1, 13, 0, 0)
        for position in range(13, 13 + 377):
            step = expected_cost(1, 1, position, 0)
            size, operations = size + step[0], operations + step[1]
        self.assertEqual(self.found["replay"]["normal"]["bytes"], size)
        self.assertEqual(self.found["replay"]["normal"]["flops"], operations)
        # Expansions: no step reads less than the weights, none more than six points' own positions.
        expansions = self.found["replay"]["first_expansions"]
        steps = 98 + 2
        self.assertGreater(expansions["bytes"], steps * 2 * weights(False))
        self.assertLess(expansions["bytes"],
                        steps * expected_cost(6, 1, 88 + 21 + 99, 88)[0] + 220 * (2 + 4) * 2 * D)

    def test_shares_follow_from_times_and_limits(self):
        limits = self.found["limits"]
        for case in self.found["passes"]:
            self.assertEqual(len(case["times_ns"]), 3)
            self.assertGreater(min(case["times_ns"]), 0)
            self.assertEqual(case["median_ns"], statistics.median(case["times_ns"]))
            seconds = case["median_ns"] / 1e9
            read = case["bytes"] / seconds / limits["read_bytes_per_s"]
            computed = case["flops"] / seconds / limits["product_flops"]
            self.assertAlmostEqual(case["share_of_bandwidth"], read, places=6)
            self.assertAlmostEqual(case["share_of_flops"], computed, places=6)
            self.assertAlmostEqual(case["share_of_floor"], max(read, computed), places=6)
            self.assertAlmostEqual(case["tokens_per_s"] * seconds,
                                   case["sequences"] * case["new_tokens"], places=6)

    def test_tokenizer_and_load_are_measured(self):
        self.assertGreaterEqual(self.found["tokenizer"]["bytes"], 1 << 18)
        self.assertGreater(self.found["tokenizer"]["tokens"], 0)
        for key in ("load_ns", "session_ns", "session_bytes", "first_pass_ns"):
            self.assertGreater(self.found["load"][key], 0)

    def test_replay_has_the_lengths_of_the_paper(self):
        # 378.0 tokens, 5.7 points, the longest 99.0: Fig. 11, LLaMA2-Chat-7B, average.
        replay = self.found["replay"]
        self.assertEqual(replay["lengths"]["name"], "LLaMA2-Chat-7B, average")
        self.assertEqual(replay["normal"]["tokens"], 378)
        self.assertEqual((len(replay["lengths"]["points"]), max(replay["lengths"]["points"])),
                         (6, 99))
        self.check_replay(replay)

    def check_replay(self, replay):
        lengths = replay["lengths"]
        for stage in ("first_skeleton", "later_skeleton"):
            self.assertEqual(replay[stage]["tokens"], lengths["skeleton"])
            self.assertEqual(replay[stage]["steps"], lengths["skeleton"] - 1)
        for stage in ("first_expansions", "later_expansions"):
            self.assertEqual(replay[stage]["tokens"], sum(lengths["points"]))
            self.assertEqual(replay[stage]["steps"], max(lengths["points"]) - 1)
            self.assertEqual(replay[stage]["most_rows"], len(lengths["points"]))
        self.assertAlmostEqual(replay["bound"], lengths["normal"] /
                               (lengths["skeleton"] + max(lengths["points"])))
        for which in ("first", "later"):
            phases = [replay[f"{which}_{stage}"]["floor_ns"] for stage in ("skeleton",
                                                                           "expansions")]
            self.assertAlmostEqual(replay[f"{which}_floor_speedup"],
                                   replay["normal"]["floor_ns"] / sum(phases))
            self.assertAlmostEqual(replay[f"{which}_speedup"],
                                   replay["normal_ns"] / replay[f"{which}_ns"])
            self.assertAlmostEqual(replay[f"{which}_share_of_bound"],
                                   replay[f"{which}_speedup"] / replay["bound"])

    def test_replay_prompts_have_as_many_tokens_as_the_paper_counted(self):
        replay = self.found["replay"]
        self.assertEqual(replay["normal"]["prompt_tokens"], 13)
        self.assertEqual(replay["first_skeleton"]["prompt_tokens"], 171)
        self.assertAlmostEqual(replay["first_expansions"]["prompt_tokens"], 216, delta=6)
        for stage, most in (("later_skeleton", 20), ("later_expansions", 200)):
            self.assertLess(replay[stage]["prompt_tokens"], most)
            self.assertGreater(replay[stage]["prompt_tokens"], 0)
            first = replay[stage.replace("later", "first")]
            self.assertAlmostEqual(replay[stage]["prompt_tokens"] + replay[stage]["reused_tokens"],
                                   first["prompt_tokens"] + first["reused_tokens"], delta=1)

    def test_replay_memory_is_reported(self):
        for key in ("memory_normal", "memory_sot"):
            memory = self.found["replay"][key]
            self.assertGreater(memory["peak_page_tokens"], 300)
            self.assertGreater(memory["session_bytes"], 0)
            if memory["process_peak_bytes"] is None:
                print("NOTE: the system does not let the peak be reset", file=sys.stderr)
            else:
                self.assertGreater(memory["process_peak_bytes"], 100000)

    def test_tables_show_what_the_object_has(self):
        for heading in ("machine", "reading", "computing", "Prefill", "Decoding", "Attention",
                        "Tokenizer", "SoT replay, LLaMA2-Chat-7B, average"):
            self.assertIn(heading, self.printed)
        rows = re.findall(r"^ +16 +1024 +1024 +([0-9.]+) ", self.printed, re.MULTILINE)
        case = self.found["passes"][-1]
        self.assertEqual(rows, [f"{case['median_ns'] / 1e6:.2f}"])

    def test_cases_chosen_are_all_there_is(self):
        found, printed = bench_json("--cases", "tokenizer,replay", "--lengths", "20:5:7,6,5",
                                    "--threads", "1", "--isa", "portable")
        self.assertEqual(found["passes"], [])
        self.assertNotIn("Prefill", printed)
        self.assertEqual((found["machine"]["threads"], found["machine"]["isa"]), (1, "portable"))
        self.assertEqual(found["replay"]["lengths"]["points"], [7, 6, 5])
        self.assertEqual(found["replay"]["normal"]["tokens"], 20)
        self.check_replay(found["replay"])

    def test_replay_too_long_for_quick_is_left_out_and_said(self):
        found, printed = bench_json("--repeats", "1", "--lengths", "100000:1000:10000")
        self.assertIsNone(found["replay"])
        self.assertIn("--cases replay", printed)

    def test_model_without_tokenizer_leaves_texts_out(self):
        found, printed = bench_json("--cases", "tokenizer,replay", "-m", "random:64x2x4x128x100")
        self.assertEqual((found["tokenizer"], found["replay"]), (None, None))
        self.assertEqual(printed.count("the model has no tokenizer"), 2)

    def test_paper_prompts_are_longer_and_lengths_come_from_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "lengths.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump({"name": "mine\x1b[2J", "normal": 6, "skeleton": 4,
                           "points": [3, 2]}, file)
            found, printed = bench_json("--cases", "replay", "--lengths-file", path,
                                        "--paper-prompts")
        self.assertIn("SoT replay, mine\N{REPLACEMENT CHARACTER}[2J", printed)
        self.assertEqual(found["replay"]["prompts"], "paper")
        self.assertGreater(found["replay"]["first_skeleton"]["prompt_tokens"], 900)  # bytes
        self.check_replay(found["replay"])
        for stage in ("first_expansions", "later_expansions"):
            phase = found["replay"][stage]
            n_rows = phase["prompt_tokens"] + phase["reused_tokens"] + phase["tokens"]
            self.assertLess(phase["flops"], 10 * n_rows * 2 * weights())


class Lengths(unittest.TestCase):
    def test_table_is_the_papers(self):
        path = os.path.join(SHARED, "data", "paper_tables.json")
        if not os.path.isfile(path):
            print(f"SKIPPED test_table_is_the_papers: no {path}", file=sys.stderr)
            self.skipTest(f"no {path}")
        with open(path, encoding="utf-8") as file:
            published = json.load(file)["fig11_vicuna80_statistics"]
        lines = bench("--list-lengths").stdout.decode().splitlines()
        rows = {tuple(line.split("\t")[:2]): [float(x) for x in line.split("\t")[2:7]]
                for line in lines[1:]}
        keys = ["points", "normal_answer_tokens", "max_point_tokens", "point_tokens_stddev",
                "sot_over_normal_tokens"]
        expected = {(model, category): [published[key][category][model] for key in keys]
                    for category in published["points"] for model in published["points"][category]}
        self.assertEqual(rows, expected)
        self.assertEqual(len(rows), 130)

    def test_lengths_keep_what_the_paper_states(self):
        lines = bench("--list-lengths").stdout.decode().splitlines()
        for line in lines[1:]:
            _, category, points, normal, longest, deviation, ratio, lengths, bound = line.split("\t")
            answer, skeleton, expansions = lengths.split(":")
            expansions = [int(n) for n in expansions.split(",")]
            self.assertAlmostEqual(len(expansions), float(points), delta=0.5001)
            self.assertAlmostEqual(int(answer), float(normal), delta=0.5001)
            self.assertAlmostEqual(max(expansions), float(longest), delta=0.5001)
            self.assertAlmostEqual(float(bound), int(answer) / (int(skeleton) + max(expansions)),
                                   delta=0.006)
            total = int(skeleton) + sum(expansions)
            self.assertGreaterEqual(min(expansions), 1)
            # Elsewhere the longest expansion, or the least possible one, may cut some off.
            if category == "average" and "LLaMA2" in line:
                self.assertAlmostEqual(total, float(normal) * float(ratio), delta=len(expansions))
                self.assertAlmostEqual(statistics.pstdev(expansions), float(deviation), delta=0.5)


class WriteGguf(unittest.TestCase):
    def test_model_stored_is_the_model(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "tiny.gguf")
            done = bench("-m", TINY, "--write-gguf", path)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
            stored = json.loads(sot("info", "-m", path, "--json").stdout)
            made = json.loads(sot("info", "-m", TINY, "--json").stdout)
            for key in ("n_parameters", "n_layer", "d_model", "d_ff", "n_vocab", "weight_bytes"):
                self.assertEqual(stored[key], made[key], key)

    def test_folder_absent_is_named(self):
        done = bench("-m", TINY, "--write-gguf", "/no/such/folder/x.gguf")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"/no/such/folder/x.gguf", done.stderr)


class Interrupts(unittest.TestCase):
    def interrupted(self, wait_for, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "results.json")
            with subprocess.Popen([PROGRAM, *arguments, "--json", path], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, env=environment(),
                                  preexec_fn=default_interrupt) as process:
                wait_for_handler(process)
                wait_for(process)
                process.send_signal(signal.SIGINT)
                out, error = process.communicate(timeout=TIMEOUT)
            self.assertEqual(process.returncode, 130, error)
            self.assertTrue(error.startswith(b"sot-bench: interrupted"), error)
            with open(path, encoding="utf-8") as file:
                return out.decode(), file.read()

    def test_interrupt_while_measuring_prints_what_there_is(self):
        def wait(process):
            # By then it is past loading, and a case of 10000 runs is not over. The processor's time,
            # not the clock's: the machine may be busy.
            ticks = 6 * os.sysconf("SC_CLK_TCK")
            end = time.monotonic() + TIMEOUT
            while process.poll() is None and time.monotonic() < end:
                with open(f"/proc/{process.pid}/stat", encoding="utf-8") as file:
                    times = file.read().rpartition(")")[2].split()[11:13]
                if sum(map(int, times)) >= ticks:
                    return
                time.sleep(0.1)

        printed, written = self.interrupted(wait, "--quick", "-m", SLOW, "--repeats", "10000",
                                            "--threads", "1", "--cases", "prefill")
        found = json.loads(written)
        self.assertTrue(found["interrupted"])
        self.assertIn("reading", printed)
        self.assertGreater(found["limits"]["read_bytes_per_s"], 0)

    def test_interrupt_while_loading_prints_nothing(self):
        printed, written = self.interrupted(lambda process: None, "-m",
                                            "random:4096x16x32x11008x32000")
        self.assertEqual((printed, written), ("", ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
