"""The hosts in examples/ give what the sot command gives."""
import unittest

from programs import DEMO, QUESTION, TINY, ask_json, needs_demo, run

QUESTIONS = [QUESTION, "What are the benefits of learning the violin?", "Why should I learn Go?"]


class Failures(unittest.TestCase):
    def test_minimal_without_arguments_fails(self):
        done = run("minimal")
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"MODEL QUESTION", done.stderr)

    def test_minimal_names_the_model_that_is_absent(self):
        done = run("minimal", "/no/such.gguf", "hi")
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"/no/such.gguf", done.stderr)

    def test_threads_without_arguments_fails(self):
        self.assertEqual(run("threads", TINY).returncode, 2)

    def test_threads_names_the_model_that_is_absent(self):
        done = run("threads", "/no/such.gguf", "hi")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"/no/such.gguf", done.stderr)


@needs_demo
class Answers(unittest.TestCase):
    def test_minimal_answers_as_sot_does(self):
        done = run("minimal", DEMO, QUESTION)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(done.stdout.decode(), ask_json("-m", DEMO, QUESTION)["text"] + "\n")

    def test_threads_answer_in_order_as_sot_does(self):
        done = run("threads", DEMO, *QUESTIONS)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        expected = "".join(f"{question}\n{ask_json('-m', DEMO, question)['text']}\n\n"
                           for question in QUESTIONS)
        self.assertEqual(done.stdout.decode(), expected)


if __name__ == "__main__":
    unittest.main(verbosity=2)
