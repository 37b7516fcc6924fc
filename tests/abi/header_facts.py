"""What the public headers declare, read from their text: structs with their fields, constants,
functions and other names. For the scripts beside it, which see to it that nothing escapes the tests
that are written by hand."""
import glob
import os
import re

HEADERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "include", "sot")


def read(folder=HEADERS):
    """All headers of a folder as one text, without comments."""
    text = ""
    for path in sorted(glob.glob(os.path.join(folder, "*.h"))):
        with open(path, encoding="utf-8") as file:
            text += file.read() + "\n"
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.S)


def structs(text):
    """{struct: [field, ...]} of the structs that have a body."""
    found = {}
    for name, body in re.findall(r"\bstruct (\w+)\s*\{(.*?)\}", text, flags=re.S):
        fields = found.setdefault(name, [])
        for declaration in filter(str.strip, body.split(";")):
            for declarator in declaration.split(","):
                fields.append(re.search(r"(\w+)\s*(?:\[\w+\]\s*)?$", declarator).group(1))
    return found


def constants(text):
    """Names of all enumerators, those of the table of status codes included."""
    names = ["SOT_" + name for name in re.findall(r"^\s*X\((\w+), *-?\d+,", text, flags=re.M)]
    for body in re.findall(r"\benum\s*\{(.*?)\}", text, flags=re.S):
        body = re.sub(r"SOT_STATUS_MAP\(SOT_STATUS_ENTRY\)", "", body)
        names += [re.match(r"\s*(\w+)", part).group(1) for part in body.split(",") if part.strip()]
    return names


def functions(text):
    """Names of all exported functions."""
    code = re.sub(r"^\s*#(.*\\\n)*.*$", "", text, flags=re.M)
    return re.findall(r"\bSOT_API\s[^;(]*?(\w+)\s*\(", code)


def names(text):
    """Every name that a program gets into its scope: macros, types, tags, constants, functions."""
    found = re.findall(r"^\s*#\s*define\s+(\w+)", text, flags=re.M)
    found += re.findall(r"\b(?:struct|union|enum)\s+(\w+)", text)
    found += re.findall(r"\btypedef\b[^;{]*?\b(\w+)\s*;", text)
    found += re.findall(r"\btypedef\b[^;{]*\(\s*\*\s*(\w+)\s*\)", text)
    found += re.findall(r"^\}\s*(\w+)\s*;", text, flags=re.M)
    return found + constants(text) + functions(text)
