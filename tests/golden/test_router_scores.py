"""The C library's trained router against examples/router's Python side, both with the file that is
installed: all questions of the three sets, and bytes that are no text. Neither looks at a label."""
import ctypes
import json
import os
import random
import sys
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path[:0] = [os.path.join(ROOT, "examples", "router"), os.path.join(ROOT, "tests", "e2e")]

from programs import BUILD, sanitized  # noqa: E402
from router_file import RouterFile  # noqa: E402

FILE = os.path.join(ROOT, "examples", "router", "lima.router")
DATA = os.path.join(os.environ.get("SOT_SHARED_DIR", os.path.join(ROOT, "..", "shared")), "data")
SETS = {"lima1030": 1030, "vicuna80": 80, "wizardlm218": 218}
# Both sum doubles, in another order, and the C library rounds to float: half a unit of 1.0f.
TOLERANCE = 6e-8


@unittest.skipIf(sanitized(), "a sanitized library cannot be loaded into Python")
class RouterScores(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.library = ctypes.CDLL(os.path.join(BUILD, "libsot.so"))
        cls.router = ctypes.c_void_p()
        status = cls.library.sot_router_load(FILE.encode(), ctypes.byref(cls.router))
        assert status == 0, status
        with open(FILE, "rb") as file:
            cls.python = RouterFile(file.read())

    @classmethod
    def tearDownClass(cls):
        cls.library.sot_router_free(cls.router)

    def assert_same(self, questions):
        score, label = ctypes.c_float(), ctypes.c_uint32()
        worst = 0.0
        for question in questions:
            status = self.library.sot_router_classify(
                self.router, question, ctypes.c_size_t(len(question)), ctypes.byref(score),
                ctypes.byref(label))
            self.assertEqual(status, 0)
            expected = self.python.score(question)
            worst = max(worst, abs(score.value - expected))
            self.assertLessEqual(abs(score.value - expected), TOLERANCE, question)
            if abs(expected - self.python.threshold) > TOLERANCE:
                self.assertEqual(label.value == 2, expected > self.python.threshold, question)
        print(f"{len(questions)} questions, scores differ by at most {worst:.1e}", file=sys.stderr)

    def test_scores_of_all_questions_agree(self):
        if not os.path.isdir(DATA):
            print(f"SKIPPED test_scores_of_all_questions_agree: no folder {DATA}", file=sys.stderr)
            self.skipTest(f"no folder {DATA}")
        questions = []
        for name, n in SETS.items():
            with open(os.path.join(DATA, name + ".jsonl"), encoding="utf-8") as file:
                found = [json.loads(line)["question"].encode() for line in file]
            self.assertEqual(len(found), n)
            questions += found
        self.assert_same(questions)

    def test_scores_of_any_bytes_agree(self):
        source = random.Random(7)
        pieces = [b" ", b". ", b"? ", b"\n", b"\xe2\x80\x99", b"'", b"-", b"what", b"Write",
                  b"poem", b"12", b"\xff", b"{", b"\0"]
        self.assert_same(
            [bytes(source.randrange(256) for _ in range(source.randrange(400))) for _ in range(500)]
            + [b"".join(source.choice(pieces) for _ in range(source.randrange(90)))
               for _ in range(1000)] + [b"is it? " * 4000, b"x" * 20000])


if __name__ == "__main__":
    if sanitized():
        print("SKIPPED: a sanitized library cannot be loaded into Python", file=sys.stderr)
    unittest.main()
