"""What the tests of sot-eval run share: questions, a run of them in a folder of its own, and one
that nothing disturbs."""
import functools
import json
import os

from programs import BUILD, DEMO, SLOWLY, TINY, Folder, check_refused, run

PROGRAM = os.path.join(BUILD, "examples", "sot-eval")
TEXTS = [("skills", "How can I improve my chess skills?"),
         ("skills", "How can I learn the violin?"),
         ("places", "What should I see in Lisbon?"),
         ("causes", "What are the causes of traffic jams?"),
         ("skills", "How do I choose a bicycle?"),
         ("causes", "Why do people keep diaries?")]
QUESTIONS = [{"id": 10 * i + 3, "category": category, "question": text, "suitable": i % 2,
              "difficulty": None if i % 3 else i} for i, (category, text) in enumerate(TEXTS)]
SHORT = ["--max-tokens", "40", "--max-skeleton-tokens", "30", "--max-point-tokens", "24"]
MODES = ("normal", "sot")


def evaluate(*arguments, **options):
    return run("sot-eval", *arguments, **options)


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Run(Folder):
    """A test with a folder for a run and a question file in it."""

    def setUp(self):
        super().setUp()
        self.questions = self.write("questions.jsonl",
                                    "".join(json.dumps(q) + "\n" for q in QUESTIONS))
        self.out = self.path("out")

    def arguments(self, *more, model=DEMO, slowly=False):
        return ["run", "-m", model, "--questions", self.questions, "-o", self.out, *SHORT,
                *(SLOWLY if slowly else []), *more]

    def records(self):
        return read_lines(os.path.join(self.out, "records.jsonl"))

    def done(self, *more, code=0, **options):
        done = evaluate(*self.arguments(*more, **options))
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def refused(self, *more, names, code, model=TINY):
        done = evaluate(*self.arguments(*more, model=model))
        check_refused(self, "sot-eval", done, names, code=code)


@functools.cache
def whole_run():
    """The records of a run that nothing disturbed, and what it printed. Run once."""
    test = Run("setUp")
    test.setUp()
    try:
        printed = test.done("--json").stdout
        return test.records(), json.loads(printed)
    finally:
        test.doCleanups()
