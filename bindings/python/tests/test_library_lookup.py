"""Which libsot is loaded, and what is said where none can be."""

import pathlib
import re
import subprocess

import pytest
from conftest import DEMO, ROOT

import sot

FAKE = """
#include <stdint.h>
uint32_t sot_version_number(void) { return NUMBER; }
"""

LOAD = """
import os, sys
os.environ["SOT_LIBRARY"] = sys.argv[1]
import sot
try:
    print(sot.version())
except ImportError as error:
    print(type(error).__name__ + ": " + str(error))
"""


def fake(folder, number):
    source = folder / "fake.c"
    source.write_text(FAKE.replace("NUMBER", str(number)))
    library = folder / "libfake.so"
    subprocess.run(["cc", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    return str(library)


@pytest.mark.parametrize(
    "number, sentence",
    [
        (1000000, "is libsot 1.0.0; this package was made for 0.1.0 and other versions 0.x"),
        (9, "is libsot 0.0.9; this package needs 0.1.0 or newer"),
        (2003, "lacks sot_"),
    ],
)
def test_other_version_is_refused_by_its_number(program, tmp_path, number, sentence):
    out = program(LOAD, fake(tmp_path, number))
    assert out.startswith("LibraryError: ") and sentence in out and "libfake.so" in out


def test_file_that_is_missing_is_named(program, tmp_path):
    out = program(LOAD, str(tmp_path / "no.so"))
    assert out.startswith("LibraryError: libsot, looked for in SOT_LIBRARY: ") and "no.so" in out


def test_other_library_is_refused(program):
    assert "is not libsot" in program(LOAD, "libm.so.6")


def test_package_carries_library_and_no_router(program):
    """Weights of the router have a licence of their own."""
    folder = pathlib.Path(sot.__file__).parent
    if not (folder / "libsot.so.0").exists():
        pytest.skip("the package was not installed from a wheel: it lies in {}".format(folder))
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"libsot.so.0", "py.typed", "LICENSE"} <= names
    assert not [name for name in names if name.endswith((".router", ".a", ".h"))]
    out = program(
        """
import os
os.environ.pop("SOT_LIBRARY", None)
import sot
print(sot._library.library()._name, sot.version())
"""
    )
    assert out.split()[0] == str(folder / "libsot.so.0")


def test_import_loads_no_library(program):
    """So that sot.convert runs where there is none."""
    out = program(
        """
import os
os.environ["SOT_LIBRARY"] = "/none"
import sot, sys
print("asyncio" in sys.modules, sot._library._loaded)
"""
    )
    assert out == "False None\n"


def test_version_is_that_of_the_sources(program):
    stated = re.search(r"project\(libsot VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text())
    assert sot.version() == stated.group(1)


def test_log_goes_to_the_logger(program):
    out = program(
        """
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, format="%(name)s %(levelname)s")
import sot
sot.Model(sys.argv[1])
""",
        str(DEMO),
    )
    assert all(line.startswith("sot ") for line in out.splitlines())
