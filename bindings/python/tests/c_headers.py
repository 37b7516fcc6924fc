"""include/sot/*.h, read just far enough to know its structs, functions and constants.

This is a second reader beside the C compiler: what it finds is what the package must have; sizes,
offsets and values come from a compiled program.
"""

import pathlib
import re
import subprocess

HEADERS = ("status.h", "sot.h", "chat.h", "router.h", "profile.h")


def source(root):
    """All headers without comments and preprocessor lines but the status table."""
    text = "".join((root / "include" / "sot" / name).read_text() for name in HEADERS)
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    return re.sub(r"\\\n", " ", text)


def declarations(text):
    return re.sub(r"^\s*#.*$", "", text, flags=re.M)


def structs(text):
    """Name to field names, in order."""
    found = {}
    for name, body in re.findall(r"struct (sot_\w+) \{(.*?)\}", declarations(text), re.S):
        fields = []
        for declaration in body.split(";"):
            for part in declaration.split(","):
                match = re.search(r"(\w+)\s*(\[\d+\])?\s*$", part)
                if match:
                    fields.append(match.group(1))
        found[name] = fields
    return found


def opaque(text):
    names = re.findall(r"typedef struct (sot_\w+) \1;", declarations(text))
    return set(names) - set(structs(text))


def plain_type(text):
    """A parameter's or a result's type without const, and without the parameter's name."""
    text = re.sub(r"\bconst\b|\bSOT_API\b", " ", text)
    words = re.findall(r"\w+|\*", text)
    stars = words.count("*")
    names = [word for word in words if word != "*"]
    return (names[0] + " " + "*" * stars).strip()


def parameters(text):
    if text.strip() == "void":
        return []
    return [plain_type(part) for part in text.split(",")]


def functions(text):
    """Name to (result, parameters)."""
    pattern = r"SOT_API\s+([\w\s*]*?[\s*])(sot_\w+)\(([^)]*)\);"
    return {
        name: (plain_type(result), parameters(arguments))
        for result, name, arguments in re.findall(pattern, declarations(text))
    }


def callbacks(text):
    pattern = r"typedef\s+([\w\s*]+?)\(\*(sot_\w+)\)\(([^)]*)\);"
    return {
        name: (plain_type(result), parameters(arguments))
        for result, name, arguments in re.findall(pattern, declarations(text))
    }


def constants(text):
    """Names of all enumerators."""
    names = ["SOT_" + name for name in re.findall(r"X\((\w+), -?\d+,", text)]
    for body in re.findall(r"enum \{(.*?)\}", declarations(text), re.S):
        names += re.findall(r"\b(SOT_[A-Z0-9_]+)\s*=", body)
    return [name for name in names if name != "SOT_STATUS_LAST"]


def run_c(root, folder, body):
    """Compiles and runs a C program whose main has this body; returns its lines."""
    program = pathlib.Path(folder) / "layout.c"
    program.write_text(
        "#include <sot/sot.h>\n#include <stddef.h>\n#include <stdio.h>\n"
        '#define KIND(x) _Generic((x), uint32_t: "u4", int32_t: "i4", uint64_t: "u8", '
        'int64_t: "i8", float: "f4", double: "f8", default: "pointer")\n'
        "int main(void)\n{\n" + body + "    return 0;\n}\n"
    )
    binary = program.with_suffix("")
    subprocess.run(
        ["cc", "-std=c11", "-Werror", "-I", str(root / "include"), str(program), "-o", str(binary)],
        check=True,
    )
    return subprocess.run([str(binary)], check=True, capture_output=True, text=True).stdout.split(
        "\n"
    )[:-1]
