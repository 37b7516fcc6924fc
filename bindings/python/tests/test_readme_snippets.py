"""The programs that README.md shows run as they are copied from there."""

import re

from conftest import ROOT

README = (ROOT / "bindings" / "python" / "README.md").read_text()


def test_python_snippets_run(program):
    snippets = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 2
    first, second = (program(snippet) for snippet in snippets)
    assert "1. Set clear goals." in first and "5. Track your progress." in first
    assert re.search(r"^[A-Z].* -> [A-Z]", second, re.MULTILINE)
