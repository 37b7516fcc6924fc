"""docs/api.md is what docs/make_api.py makes of the headers' comments, has everything that the
library exports, and no link on it leads nowhere. A header that says too little makes no page."""
import os
import re
import shutil
import sys
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
HEADERS = os.path.join(ROOT, "include", "sot")
sys.path.insert(0, os.path.join(ROOT, "docs"))
sys.dont_write_bytecode = True
import make_api  # pylint: disable=wrong-import-position


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


@unittest.skipUnless(make_api.compiler(), "no clang: docs/api.md cannot be made")
class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.made, cls.lacks = make_api.make(HEADERS)

    def test_headers_say_what_a_caller_must_know(self):
        self.assertEqual(self.lacks, [])

    def test_page_is_what_the_headers_make(self):
        self.assertTrue(self.made == read("docs", "api.md"),
                        "docs/api.md is old: run python3 docs/make_api.py")

    def test_page_has_every_export(self):
        exports = re.findall(r"^\s+(sot_\w+);$", read("lib", "api", "libsot.map"), re.MULTILINE)
        self.assertGreater(len(exports), 60)
        anchors = re.findall(r'<a id="(\w+)">', self.made)
        self.assertEqual([name for name in exports if name not in anchors], [])
        self.assertEqual(len(anchors), len(set(anchors)))

    def test_page_has_every_member_and_constant(self):
        text = re.sub(r"/\*.*?\*/", "", "".join(read("include", "sot", name)
                                                for name in make_api.HEADERS), flags=re.DOTALL)
        constants = set(re.findall(r"\b(SOT_\w+) = -?\d+", text))
        self.assertGreater(len(constants), 40)
        for name in constants:
            self.assertTrue(f'<a id="{name}"></a>' in self.made, name)
        for body, struct in re.findall(r"struct sot_\w+ \{(.*?)\} ?(\w*);", text, re.DOTALL):
            for line in body.strip().split("\n"):
                for member in re.findall(r"(\w+)(?:\[\d+\])?[,;]", line):
                    self.assertTrue(f"\n| `{member}` |" in self.made, f"{struct}: {member}")

    def test_links_lead_somewhere(self):
        anchors = set(re.findall(r'<a id="(\w+)">', self.made))
        links = re.findall(r"\]\((.*?)\)", self.made)
        self.assertGreater(len(links), 200)
        for link in set(links):
            if link.startswith("#"):
                self.assertIn(link[1:], anchors)
            else:
                self.assertTrue(os.path.exists(os.path.join(ROOT, "docs", link)), link)


@unittest.skipUnless(make_api.compiler(), "no clang: docs/api.md cannot be made")
class Refused(unittest.TestCase):
    """What happens to a header that was changed in one place."""

    def lacks(self, before, after):
        with tempfile.TemporaryDirectory() as folder:
            headers = os.path.join(folder, "sot")
            shutil.copytree(HEADERS, headers)
            path = os.path.join(headers, "sot.h")
            with open(path, encoding="utf-8") as file:
                text = file.read()
            self.assertEqual(text.count(before), 1)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text.replace(before, after))
            return make_api.make(headers)

    def test_function_without_comment_is_named(self):
        added = "SOT_API void sot_new(void);\n\n/* Frees a session that no call is using."
        _, lacks = self.lacks("/* Frees a session that no call is using.", added)
        self.assertEqual(lacks, ["sot.h: sot_new: no comment", "sot.h: sot_new: not since which "
                                 "version"])

    def test_status_without_returns_is_named(self):
        _, lacks = self.lacks("Returns ARGUMENT, MEMORY, IO, FORMAT, UNSUPPORTED, RANGE", "RANGE")
        self.assertEqual(lacks, ["sot.h: sot_model_load: not which statuses it returns"])

    def test_member_without_comment_is_named(self):
        _, lacks = self.lacks("    uint32_t n_vocab;          /* tokens there are */",
                              "    uint32_t n_vocab;")
        self.assertEqual(lacks, ["sot.h: sot_model_info: n_vocab: no comment"])

    def test_comment_changed_changes_the_page(self):
        page, lacks = self.lacks("/* tokens there are */", "/* pieces _of_ a*b */")
        self.assertEqual(lacks, [])
        self.assertTrue("\n| `n_vocab` | `uint32_t` | pieces `_of_` a\\*b |\n" in page)


if __name__ == "__main__":
    if not make_api.compiler():
        print("SKIPPED: no clang-14 or clang: docs/api.md is not compared with the headers")
    unittest.main()
