"""The parts of tests/gpu.sh that need no GPU: the goals from stored results, what it says where
there is no device, how it counts tests, and sot-bench's figures beside PyTorch's."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

import gpu_report
import gpu_replays
import update_gpu_doc

try:
    import plot_gpu
except ImportError:
    plot_gpu = None  # no matplotlib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def product(name, rows, ours, theirs, share=0.9):
    return {"model": "7b", "product": name, "rows": rows, "gemm_rows_ns": ours,
            "share_of_bandwidth": share, "cublas_ns": theirs}


def one_pass(case, sequences, new_tokens, context, ns):
    return {"case": case, "sequences": sequences, "new_tokens": new_tokens, "context": context,
            "median_ns": ns, "bytes": 4e9}


def replay(share, peak):
    memory = {"process_peak_bytes": peak, "session_bytes": 10}
    return {"replay": {"first_share_of_bound": share, "weight_bytes": 90, "memory_normal": memory,
                       "memory_sot": memory}}


def fixture():
    """Made for round numbers: 4 GB a step at 4 TB/s are 1 ms."""
    return {
        "gemm_rows.jsonl": [product("qkv", 1, 10, 30, 0.95), product("o", 1, 10, 15, 0.91),
                            product("qkv", 16, 10, 30, 0.84), product("qkv", 512, None, 1e5),
                            product("o", 512, None, 1e5), product("gate_up", 512, None, 2e5),
                            product("down", 512, None, 1e5), product("output", 512, None, 9e9)],
        "bench-7b.json": {
            "limits": {"read_bytes_per_s": 4e12}, "model": {"n_layer": 32},
            "passes": [one_pass("decode", 1, 1, 512, 1.1e6), one_pass("decode", 16, 1, 512, 1.21e6),
                       one_pass("decode", 8, 1, 512, 1.2e6), one_pass("prefill", 1, 512, 0, 20e6)]},
        "replays-7b.json": [replay(0.9, 100), replay(1.0, 102)],
        "pytorch-7b.json": {
            "decode": [{"configuration": "libsot", "batch": 1, "tokens_per_s": 600.0},
                       {"configuration": "a", "batch": 1, "tokens_per_s": 500.0},
                       {"configuration": "b", "batch": 1, "tokens_per_s": None},
                       {"configuration": "libsot", "batch": 8, "tokens_per_s": 600.0},
                       {"configuration": "a", "batch": 8, "tokens_per_s": None}],
            "sot": {"libsot_ns": 1e9, "reference_ns": 4e9}},
        "tests.json": [{"name": "test_pick", "tool": "", "result": "passed"}],
        "facts.json": {"device": "a GPU", "driver": "1.2", "commit": "abc"}}


class Fixtures(unittest.TestCase):
    def write(self, files):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name, content in files.items():
            with open(os.path.join(folder.name, name), "w", encoding="utf-8") as file:
                if name.endswith("l"):
                    file.writelines(json.dumps(line) + "\n" for line in content)
                else:
                    json.dump(content, file)
        return folder.name


class Report(Fixtures):
    def goals(self, files):
        return gpu_report.summarize(gpu_report.gather(self.write(files)))

    def test_goals_are_what_was_measured(self):
        values = {key: one.get("7b") for key, one in self.goals(fixture()).items()}
        for key, expected in {"bandwidth_1": 0.91, "bandwidth_16": 0.84, "cublas": 1.5,
                              "decode": 1.1, "step_ratio": 1.1, "pytorch_1": 1.2, "pytorch_8": None,
                              "prefill": 0.8, "replay": 0.95, "reference": 4.0,
                              "memory": 1.02}.items():
            if expected is None:
                self.assertIsNone(values[key], key)
            else:
                self.assertAlmostEqual(values[key], expected, msg=key)

    def test_nothing_measured_is_said_to_be_unmeasured(self):
        goals = self.goals({})
        self.assertTrue(all(not values for values in goals.values()))
        table = gpu_report.goals_table({"goals": goals})
        self.assertEqual(table.count("| unmeasured |"), len(gpu_report.GOALS))
        self.assertNotIn("reached", table)

    def test_table_says_missed_if_one_model_missed(self):
        goals = self.goals(fixture())
        goals["decode"] = {"7b": 1.1, "13b": 1.2}
        lines = gpu_report.goals_table({"goals": goals}).splitlines()
        row = {key: lines[2 + i] for i, (key, *_) in enumerate(gpu_report.GOALS)}
        self.assertTrue(row["decode"].endswith("| **missed** |"), row["decode"])
        self.assertTrue(row["bandwidth_16"].endswith("| **missed** |"))
        self.assertTrue(row["memory"].endswith("| reached where measured |"))
        self.assertTrue(row["pytorch_8"].endswith("| unmeasured |"))

    def test_gaps_are_named(self):
        files = fixture()
        files["pytorch-7b.json"]["decode"][4]["error"] = "OutOfMemoryError: none left"
        files["tests.json"].append({"name": "gpu_model", "tool": "", "result": "skipped"})
        self.assertEqual(gpu_report.gaps_lines(gpu_report.gather(self.write(files))).splitlines(), [
            "NOT MEASURED: 7b, decode, b, batch 1: no figure",
            "NOT MEASURED: 7b, decode, a, batch 8: OutOfMemoryError: none left",
            "SKIPPED: 1 of 2 tests"])

    def test_program_fails_if_a_test_failed(self):
        files = fixture()
        for result, code in (("passed", 0), ("failed", 1)):
            files["tests.json"][0]["result"] = result
            folder = self.write(files)
            path = os.path.join(folder, "gpu.json")
            done = subprocess.run([sys.executable, os.path.join(HERE, "gpu_report.py"), folder,
                                   "--json", path], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn("device: a GPU", done.stdout)
            with open(path, encoding="utf-8") as file:
                self.assertAlmostEqual(json.load(file)["goals"]["decode"]["7b"], 1.1)


class Document(Fixtures):
    def measured(self):
        result = gpu_report.gather(self.write(fixture()))
        result["goals"] = gpu_report.summarize(result)
        return result

    def update(self, result):
        folder = self.write({"gpu.json": result, "benchmarks.md": ""})
        with open(os.path.join(folder, "benchmarks.md"), "w", encoding="utf-8") as file:
            file.write("before\n<!-- gpu -->\nold\n<!-- end of gpu -->\nafter\n")
        done = subprocess.run([sys.executable, update_gpu_doc.__file__,
                               os.path.join(folder, "gpu.json"), "--docs", folder, "--no-plot"],
                              cwd=HERE, capture_output=True, text=True, check=False)
        with open(os.path.join(folder, "benchmarks.md"), encoding="utf-8") as file:
            return done, file.read()

    def test_what_was_measured_takes_the_place_of_what_was_there(self):
        result = self.measured()
        done, text = self.update(result)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(text.startswith("before\n<!-- gpu -->\n| | |\n"), text)
        self.assertTrue(text.endswith("<!-- end of gpu -->\nafter\n"))
        self.assertNotIn("old", text)
        for part in ("| device | a GPU |", gpu_report.goals_table(result), "| test_pick |"):
            self.assertIn(part, text)

    def test_nothing_measured_changes_nothing(self):
        done, text = self.update({"facts": None})
        self.assertEqual(done.returncode, 2)
        self.assertIn("no device is named", done.stderr)
        self.assertIn("old", text)

    def test_plotted_lines_are_shares_and_rates(self):
        if plot_gpu is None:
            self.skipTest("there is no matplotlib")
        result = self.measured()
        shares = {library: [(rows, round(share, 3)) for rows, share in points]
                  for library, points in plot_gpu.shares(result, "7b").items()}
        self.assertEqual(shares, {"gemm_rows": [(1, 0.93), (16, 0.84)],
                                  "cuBLAS": [(1, 0.462), (16, 0.28)]})
        self.assertEqual(plot_gpu.rates(result, "7b"),
                         {"libsot": [(1, 600.0), (8, 600.0)], "a": [(1, 500.0)]})
        path = os.path.join(self.write({}), "gpu.png")
        self.assertTrue(plot_gpu.draw(result, path))
        self.assertGreater(os.path.getsize(path), 10000)
        self.assertFalse(plot_gpu.draw(gpu_report.gather(self.write({})), path))


class Script(unittest.TestCase):
    """tests/gpu.sh itself, with a device that is pretended."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.programs = os.path.join(self.folder, "build", "tests", "gpu")
        self.tools = os.path.join(self.folder, "bin")
        os.makedirs(self.programs)
        os.makedirs(self.tools)

    def program(self, folder, name, text):
        path = os.path.join(folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n" + text + "\n")
        os.chmod(path, 0o755)

    def run_script(self, *stages):
        environment = dict(os.environ, PATH=self.tools + ":/usr/bin:/bin", SOT_GPU_MODELS="",
                           SOT_GPU_BUILD=os.path.join(self.folder, "build"),
                           SOT_GPU_PYTHON=sys.executable)
        environment.pop("SOT_GPU_OUT", None)
        return subprocess.run(["sh", os.path.join(ROOT, "tests", "gpu.sh"), *stages],
                              capture_output=True, text=True, check=False, env=environment)

    def test_no_device_is_a_loud_skip(self):
        self.program(self.tools, "nvidia-smi", "exit 9")
        done = self.run_script()
        self.assertEqual(done.returncode, 77)
        self.assertIn("NOTHING WAS RUN ON A GPU", done.stderr)

    def test_stage_unknown_is_refused(self):
        self.assertEqual(self.run_script("tets").returncode, 2)

    def test_failed_and_skipped_tests_are_counted(self):
        self.program(self.tools, "nvidia-smi", "echo 'GPU 0: pretended'")
        self.program(self.tools, "nvcc", "exit 0")
        self.program(self.tools, "compute-sanitizer", 'shift 4; exec "$@"')
        self.program(self.programs, "test_good", "exit 0")
        self.program(self.programs, "gpu_model", "echo SKIPPED: no device >&2; exit 77")
        done = self.run_script("tests", "sanitizer", "report")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("SKIPPED  gpu_model : SKIPPED: no device", done.stdout)
        self.assertEqual(done.stdout.count("| test_good |"), 5)
        done = self.run_script("tests", "report")  # what was found under the sanitizer is kept
        self.assertEqual(done.stdout.count("| test_good |"), 5)
        self.program(self.programs, "test_bad", "echo it broke; exit 1")
        done = self.run_script("tests", "report")
        self.assertEqual(done.returncode, 1)
        self.assertIn("FAILED: test_bad", done.stderr)
        self.assertIn("it broke", done.stdout)
        self.assertIn("| test_bad |  | failed |", done.stdout)

    def test_nothing_to_run_is_a_failure(self):
        self.program(self.tools, "nvidia-smi", "echo 'GPU 0: pretended'")
        self.program(self.tools, "nvcc", "exit 0")
        for stage in ("tests", "sanitizer"):
            done = self.run_script(stage)
            self.assertEqual(done.returncode, 1)
            self.assertIn("has no gpu_model", done.stderr)


class Replays(unittest.TestCase):
    def test_open_models_are_the_papers_nine(self):
        program = os.path.join(os.environ.get("SOT_BUILD_DIR", os.path.join(ROOT, "build")),
                               "examples", "sot-bench")
        names = gpu_replays.open_models(program)
        self.assertEqual(len(names), 9, names)
        self.assertIn("Vicuna-33B V1.3", names)


if __name__ == "__main__":
    unittest.main(verbosity=2)
