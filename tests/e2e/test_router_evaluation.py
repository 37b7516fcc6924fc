"""examples/router/evaluate.py prints the rows that the model card in that folder states, from the
paper's tables and by decisions of the C library."""
import json
import os
import re
import subprocess
import sys
import unittest

from programs import BUILD, ROOT, sanitized

FOLDER = os.path.join(ROOT, "examples", "router")
DATA = os.path.join(os.environ.get("SOT_SHARED_DIR", os.path.join(ROOT, "..", "shared")), "data")
ROW = re.compile(r"^(\S.*?) {2,}(\d+) +(\d+) +(\d+) +(\d+)"
                 r" +(0\.\d{3}) +(0\.\d{3} to 0\.\d{3})$", re.M)


def evaluate(*arguments):
    return subprocess.run(
        [sys.executable, os.path.join(FOLDER, "evaluate.py"), "--library",
         os.path.join(BUILD, "libsot.so"), *arguments], capture_output=True, text=True, check=False)


@unittest.skipIf(sanitized(), "a sanitized library cannot be loaded into Python")
class RouterEvaluation(unittest.TestCase):
    def test_evaluation_prints_the_rows_of_the_model_card(self):
        if not os.path.isdir(DATA):
            print(f"SKIPPED the model card's rows: no folder {DATA}", file=sys.stderr)
            self.skipTest(f"no folder {DATA}")
        done = evaluate("--data", DATA)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(os.path.join(FOLDER, "README.md"), encoding="utf-8") as file:
            card = ROW.findall(file.read())
        printed = ROW.findall(done.stdout)
        self.assertEqual(len(printed), 6)
        self.assertEqual(printed, card)
        with open(os.path.join(DATA, "paper_tables.json"), encoding="utf-8") as file:
            paper = json.load(file)
        for rows, table, n, n_suitable in (
                (printed[:3], "table3_router_confusion_vicuna80", 80, 37),
                (printed[3:], "table4_router_confusion_wizardlm", 218, 58)):
            for row, key in zip(rows[1:], ("human_vs_roberta", "human_vs_gpt4")):
                self.assertEqual([int(cell) for cell in row[1:5]],
                                 [paper[table][key][cell] for cell in ("tn", "fp", "fn", "tp")])
            for row in rows:
                tn, fp, fn, tp = (int(cell) for cell in row[1:5])
                self.assertEqual((tn + fp, fn + tp), (n - n_suitable, n_suitable))
                self.assertEqual(row[5], f"{(tn + tp) / n:.3f}")
        latency = re.search(r"median (\d+) us, longest (\d+) us; file: (\d+) bytes", done.stdout)
        self.assertLess(int(latency.group(1)), 1000)
        self.assertLessEqual(int(latency.group(3)), 512 * 1024)

    def test_evaluation_without_a_router_says_which_file(self):
        done = evaluate("--router", "/nonexistent/a.router")
        self.assertEqual(done.returncode, 1)
        self.assertIn("evaluate.py: /nonexistent/a.router", done.stderr)


if __name__ == "__main__":
    if sanitized():
        print("SKIPPED: a sanitized library cannot be loaded into Python", file=sys.stderr)
    unittest.main()
