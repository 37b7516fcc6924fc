#!/usr/bin/env python3
"""test_layout.c leaves no public struct, field or constant out, test_other_sizes.c no function that
reads or fills a struct, and the headers declare no name that could be another library's."""
import os
import re
import sys

import header_facts

HERE = os.path.dirname(os.path.abspath(__file__))
GROWING = {"SOT_STATUS_LAST"}  # moves with each new code


def missing(what, expected, found):
    """Complains of what is in one set only."""
    wrong = [f"{what} {name}: is not in test_layout.c" for name in sorted(expected - found)]
    return wrong + [f"{what} {name}: is in no header" for name in sorted(found - expected)]


def source(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return file.read()


def sized_functions(text, structs):
    """Functions with a pointer to a struct that has a struct_size, but not _free."""
    sized = "|".join(name for name, fields in structs.items() if fields[0] == "struct_size")
    return {name for name, parameters in re.findall(
        r"\bSOT_API\s[^;(]*?(\w+)\s*\(([^)]*)\)", text)
        if re.search(rf"\b(?:{sized}) \*\w", parameters) and not name.endswith("_free")}


def main():
    text = header_facts.read()
    table = source("test_layout.c")
    structs = header_facts.structs(text)
    fields = {f"{struct}.{field}" for struct, names in structs.items() for field in names}
    constants = set(header_facts.constants(text)) - GROWING
    wrong = missing("struct", set(structs), set(re.findall(r"^STRUCT\((\w+),", table, flags=re.M)))
    wrong += missing("field", fields, {".".join(pair) for pair in re.findall(
        r"^FIELD\((\w+), (\w+),", table, flags=re.M)})
    wrong += missing("constant", constants,
                     set(re.findall(r"^CONSTANT\((\w+),", table, flags=re.M)))
    wrong += missing("initializer of", set(structs) - {"sot_event"},
                     set(re.findall(r"^    CHECK_INIT\((\w+),", table, flags=re.M)))
    last = dict(re.findall(r"^STRUCT\((\w+), \d+, (\w+)\)", table, flags=re.M))
    wrong += [f"struct {struct}: its last field is {names[-1]}, not {last.get(struct)}"
              for struct, names in structs.items() if last.get(struct) != names[-1]]
    wrong += [f"struct {name}: does not begin with struct_size, so it cannot grow"
              for name, names in structs.items() if names[0] != "struct_size"]
    sized = sized_functions(text, structs)
    tried = source("test_other_sizes.c")
    wrong += [f"function {name}: is not in test_other_sizes.c" for name in sorted(sized)
              if not re.search(rf"\b{name}\(", tried)]
    wrong += [f"name {name}: begins with neither sot_ nor SOT_"
              for name in header_facts.names(text) if not re.match(r"sot_|SOT_", name)]
    if len(fields) < 200 or len(constants) < 50 or len(sized) < 15:
        wrong.append("too little was found in the headers: is this script broken?")
    for sentence in wrong:
        print("layout:", sentence, file=sys.stderr)
    print(f"layout: {len(structs)} structs, {len(fields)} fields, {len(constants)} constants, "
          f"{len(sized)} functions with structs")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
