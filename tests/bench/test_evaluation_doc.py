"""docs/evaluation.md against docs/evaluation.json: its tables are those that the numbers make, and
the counts in the numbers agree with each other."""
import json
import os
import unittest

import update_doc
import update_evaluation


class Evaluation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with open(os.path.join(update_evaluation.DOCS, "evaluation.json"),
                  encoding="utf-8") as file:
            cls.result = json.load(file)
        with open(os.path.join(update_evaluation.DOCS, "evaluation.md"), encoding="utf-8") as file:
            cls.text = file.read()

    def test_tables_are_those_of_the_numbers(self):
        self.assertEqual(update_doc.replace_tables(self.text,
                                                   update_evaluation.tables(self.result)),
                         self.text)

    def test_both_question_sets_are_whole(self):
        runs = {run["data"]: run for run in self.result["runs"]}
        self.assertEqual({name: run["n_questions"] for name, run in runs.items()},
                         {"vicuna80": 80, "wizardlm": 218})
        for run in runs.values():
            for mode in ("sot", "routed"):
                *categories, every = run[mode]["categories"]
                self.assertEqual(every["n_questions"], run["n_questions"])
                for member in ("n_questions", "n_compared", "n_sot", "n_expanded"):
                    self.assertEqual(sum(row[member] for row in categories), every[member])

    def test_router_has_judged_every_question(self):
        # The labels: 37 of 80 and 58 of 218 questions suit SoT (the paper's appendix K.1).
        suitable = {"vicuna80": 37, "wizardlm": 58}
        for run in self.result["runs"]:
            counts = run["routed"]["routing"]
            self.assertEqual(counts["tp"] + counts["fn"], suitable[run["data"]])
            self.assertEqual(counts["tn"] + counts["fp"],
                             run["n_questions"] - suitable[run["data"]])

    def test_ratios_agree_with_the_sums_behind_them(self):
        for run in self.result["runs"]:
            for row in run["sot"]["categories"]:
                if row["n_compared"]:
                    self.assertAlmostEqual(row["speedup"], row["normal_ns"] / row["mode_ns"],
                                           places=5)


if __name__ == "__main__":
    unittest.main()
