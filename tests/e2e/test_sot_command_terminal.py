"""The sot command on a terminal: what a user sees while points grow, and what is left at the end."""
import unittest

from programs import DEMO, QUESTION, SLOWLY, SOT, TINY, ask_json, needs_demo
from terminal_screen import Terminal, letters

SLOW = "random:512x8x8x1376x2000"


@needs_demo
class LiveView(unittest.TestCase):
    ARGUMENTS = ["-m", DEMO, "--max-point-tokens", "48", QUESTION]

    def setUp(self):
        self.answer = ask_json(*self.ARGUMENTS)

    def show(self, *options, columns=80, lines=24, **changes):
        """sot ask on a terminal, without its warnings."""
        return Terminal([SOT, "ask", *options, *self.ARGUMENTS], columns, lines, warnings=False,
                        **changes)

    def check_end(self, terminal):
        """Every point is there, once, and nothing else."""
        self.assertEqual(terminal.finish(), 0)
        self.assertEqual(letters(terminal.screen.everything()), letters(self.answer["text"]))

    def test_points_grow_at_once_in_their_places(self):
        terminal = self.show(*SLOWLY)
        self.check_end(terminal)
        growing = []
        for frame in terminal.screen.frames:
            starts = [i for i, line in enumerate(frame.split("\n")) if line[:1].isdigit()]
            if "points done" in frame:
                growing.append(len(starts))
                indexes = [frame.split("\n")[i].split(".")[0] for i in starts]
                self.assertEqual(indexes, [point["index"] for point in self.answer["points"]])
        self.assertTrue(growing, "no frame with points was drawn")
        two = [frame for frame in terminal.screen.frames if frame.count("\u2026") >= 2]
        self.assertTrue(two, "no frame with two points growing was drawn")

    def test_decision_of_the_router_is_shown(self):
        terminal = self.show("--mode", "routed", *SLOWLY)
        self.check_end(terminal)
        decided = [frame for frame in terminal.screen.frames
                   if "\nrouter prompting: SoT (A, 1.00)\nwriting the skeleton" in frame]
        self.assertTrue(decided, "no frame with the decision was drawn")

    def test_text_above_stays(self):
        terminal = Terminal(["sh", "-c", 'echo above; "$0" "$@"; echo below', SOT, "ask",
                             *self.ARGUMENTS], warnings=False)
        self.assertEqual(terminal.finish(), 0)
        self.assertEqual(letters(terminal.screen.everything()),
                         f"above{letters(self.answer['text'])}below")

    def test_screens_of_all_sizes_show_the_answer_once(self):
        for columns, lines in [(200, 60), (60, 10), (33, 5), (20, 4), (12, 3), (80, 1)]:
            with self.subTest(columns=columns, lines=lines):
                terminal = self.show(columns=columns, lines=lines)
                self.assertEqual(terminal.finish(), 0)
                self.assertEqual(letters(terminal.screen.everything()),
                                 letters(self.answer["text"]))
                for row in terminal.screen.gone + terminal.screen.rows:
                    self.assertLessEqual(len(row), columns)

    def test_screen_made_wider_meanwhile_is_used(self):
        terminal = self.show(*SLOWLY, columns=40, lines=12)
        terminal.wait_for("points done")
        terminal.resize(100, 40)
        self.check_end(terminal)

    def test_no_color_leaves_styles_out(self):
        for changes, flags in [({"NO_COLOR": "1"}, []), ({}, ["--no-color"])]:
            terminal = self.show(*flags, **changes)
            self.check_end(terminal)
            self.assertEqual(terminal.screen.styles, 0)
        terminal = self.show(NO_COLOR="")
        self.check_end(terminal)
        self.assertGreater(terminal.screen.styles, 0)

    def test_dumb_terminal_gets_plain_text(self):
        for term in ("dumb", None):
            terminal = self.show(columns=1000, TERM=term)
            self.check_end(terminal)
            self.assertNotIn("\x1b", terminal.raw)

    def test_quiet_shows_the_answer_only(self):
        terminal = self.show("-q")
        self.check_end(terminal)
        self.assertFalse([frame for frame in terminal.screen.frames if "points done" in frame])

    def test_locale_without_utf8_draws_ascii(self):
        terminal = self.show(LC_ALL="C")
        self.check_end(terminal)
        self.assertTrue(terminal.raw.isascii() or not self.answer["text"].isascii())

    def test_compare_shows_both_and_the_table(self):
        terminal = self.show("--compare", "--max-tokens", "200")
        self.assertEqual(terminal.finish(), 0)
        everything = letters(terminal.screen.everything())
        self.assertEqual(everything.count(letters(self.answer["text"])), 1)
        self.assertTrue(everything.startswith("Normal"))
        self.assertIn("Comparison", everything)


class Keys(unittest.TestCase):
    def test_ctrl_c_keeps_what_there_is(self):
        terminal = Terminal([SOT, "ask", "-m", SLOW, "--mode", "normal", "--temperature", "1",
                             "--ctx", "4096", "--max-tokens", "4000", "hi"])
        self.assertTrue(terminal.wait_for("tokens/s"), terminal.screen.visible())
        terminal.type(b"\x03")
        self.assertEqual(terminal.finish(), 130)
        everything = terminal.screen.everything()
        self.assertIn("sot: interrupted", everything)
        self.assertNotIn("tokens/s", everything)

    def test_question_missing_on_a_terminal_is_refused(self):
        terminal = Terminal([SOT, "ask", "-m", TINY])
        self.assertEqual(terminal.finish(), 2)
        self.assertIn("no question", terminal.screen.visible())

    def test_dash_reads_the_terminal(self):
        terminal = Terminal([SOT, "ask", "-q", "-m", TINY, "--mode", "normal", "--max-tokens", "1",
                             "-"])
        terminal.type(b"hi\n\x04")
        self.assertEqual(terminal.finish(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
