"""The parts of the comparison that need no llama.cpp: libsot's worker, the sums, the document."""
import os
import re
import sys
import unittest

import compare_report
import update_doc
from worker_protocol import Worker

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("SOT_BUILD_DIR", os.path.join(ROOT, "build"))
TINY = {"model": "random:64x2x4x128x300", "threads": 2, "n_ctx": 64, "max_rows": 4}
PARAMETERS = 2 * (4 * 64 * 64 + 3 * 64 * 128 + 2 * 64) + 64 + 2 * 300 * 64


def sanitized():
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as file:
        return bool(re.search(r"^SOT_SANITIZE:STRING=.", file.read(), re.MULTILINE))


@unittest.skipIf(sanitized(), "SKIPPED: Python cannot open a library with a sanitizer")
class LibsotWorker(unittest.TestCase):
    def setUp(self):
        self.worker = Worker("libsot", [sys.executable, os.path.join(HERE, "worker_sot.py"),
                                        os.path.join(BUILD, "libsot.so")])
        self.addCleanup(self.worker.close)
        self.facts = self.worker.ask("open", **TINY)

    def test_open_tiny_model_reads_every_field(self):
        model, session = self.facts["model"], self.facts["session"]
        self.assertEqual((model["d_model"], model["n_layer"], model["d_ff"], model["n_vocab"]),
                         (64, 2, 128, 300))
        self.assertEqual(model["n_parameters"], PARAMETERS)
        self.assertEqual((session["n_threads"], session["n_ctx"], session["max_batch"]),
                         (2, 64, 4))
        self.assertIn(session["isa"], ("amx", "avx512", "avx2", "neon", "portable"))
        self.assertGreater(session["session_bytes"], 0)

    def test_measure_returns_one_time_per_repeat(self):
        for case, size in (("prefill", 20), ("decode", 1), ("decode", 4)):
            reply = self.worker.ask("measure", case=case, size=size, n_shared=16, warmup=1,
                                    repeats=3)
            self.assertEqual(len(reply["ns"]), 3)
            self.assertTrue(all(0 < ns < 60e9 for ns in reply["ns"]), reply)

    def test_measure_too_many_rows_reports_the_library_s_sentence(self):
        with self.assertRaisesRegex(RuntimeError, "sot_session_measure: .*5"):
            self.worker.ask("measure", case="decode", size=5, n_shared=16, warmup=1, repeats=1)
        self.worker.ask("usage")  # and goes on


def result_of(times):
    """A result whose turns are times[library, case, size] = ns of each round, one run a turn."""
    samples = [{"round": i, "case": case, "size": size, "library": library, "ns": [ns],
                "variant": "flash" if library == "llama.cpp" else None}
               for (library, case, size), turns in times.items() for i, ns in enumerate(turns)]
    return {"samples": samples, "replays": [],
            "limits": [{"read_bytes_per_s": 20e9, "product_flops": 100e9},
                       {"read_bytes_per_s": 40e9, "product_flops": 100e9}],
            "model": "file", "libraries": {"libsot": {
                "model": {"weight_bytes": 1_000_000_000, "n_vocab": 1000, "d_model": 50_000},
                "session": {"isa": "avx512"}}}}


def replay_of(model, share, peaks):
    return {"model": model, "replay": {
        "first_share_of_bound": share, "later_share_of_bound": share, "weight_bytes": 100,
        "memory_normal": {"process_peak_bytes": peaks[0]},
        "memory_sot": {"process_peak_bytes": peaks[1]}}}


class Report(unittest.TestCase):
    def setUp(self):
        self.result = result_of({
            ("libsot", "decode", 1): [100e6, 50e6], ("llama.cpp", "decode", 1): [200e6, 50e6],
            ("libsot", "decode", 16): [200e6, 150e6], ("llama.cpp", "decode", 16): [400e6, 600e6]})
        self.result["replays"] = [replay_of("file", 0.5, (90, 90)),
                                  replay_of("random:7b", 0.8, (100, 104))]
        self.result["summary"] = compare_report.summarize(self.result)

    def test_shares_and_ratios_are_taken_round_by_round(self):
        goals = self.result["summary"]["goals"]
        # 1 GB in 0.1 s of 20 GB/s, 1 GB in 0.05 s of 40 GB/s
        self.assertEqual(goals["bandwidth_share"]["libsot"],
                         {"median": 0.5, "min": 0.5, "max": 0.5})
        self.assertEqual(goals["step_ratio"]["libsot"], {"median": 2.5, "min": 2.0, "max": 3.0})
        self.assertEqual(goals["tokens_ratio"]["libsot"], {"median": 3.0, "min": 2.0, "max": 4.0})
        self.assertNotIn("prefill_ratio", goals)

    def test_replay_of_the_large_model_has_goals_of_its_own(self):
        goals = self.result["summary"]["goals"]
        values = {key: goals[key]["libsot"]["median"] for key in goals}
        self.assertEqual(values["first_share"], 0.5)
        self.assertEqual(values["7b_first_share"], 0.8)
        self.assertEqual((values["7b_memory"], values["7b_sot_memory"]), (1.04, 1.04))

    def test_floor_is_the_slower_of_reading_and_multiplying(self):
        floor = compare_report.floor_ms
        # 1 GB at 30 GB/s; 1 GFLOP a row at 100 GFLOP/s
        self.assertAlmostEqual(floor(self.result, "decode", 1), 1e3 / 30)
        self.assertAlmostEqual(floor(self.result, "decode", 16), 160)
        # 0.9 GFLOP a row, and the last row's 0.1 of the output matrix
        self.assertAlmostEqual(floor(self.result, "prefill", 20), 181)

    def test_goals_table_judges_by_the_instruction_set(self):
        table = compare_report.goals_table(self.result)
        step = next(line for line in table.splitlines() if "batch 16 ÷ step" in line)
        self.assertIn("missed", step)
        tokens = next(line for line in table.splitlines() if "batch 16 ÷ llama" in line)
        self.assertTrue(tokens.endswith("| reached |"), tokens)
        self.assertIn("not measured", table)


class Document(unittest.TestCase):
    def test_replace_tables_changes_only_what_lies_between_markers(self):
        text = "a\n<!-- one -->\nold\n<!-- end of one -->\nb\n"
        self.assertEqual(update_doc.replace_tables(text, {"one": "new"}),
                         "a\n<!-- one -->\nnew\n<!-- end of one -->\nb\n")
        with self.assertRaises(ValueError):
            update_doc.replace_tables(text, {"two": "new"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
