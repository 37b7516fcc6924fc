#!/usr/bin/env python3
"""Makes docs/api.md from the comments of include/sot/*.h.

Usage: python3 docs/make_api.py [--check]     --check: writes nothing, fails where the page is old

clang says what is declared (names, types, values, places: clang -Xclang -ast-dump=json), this file
finds the comment of each declaration by its place: in front of it, or behind it on the same line.
Declarations without an empty line between them are one entry under the first one's comment. What
lacks a comment, or says less than lacking() asks for, is an error, so the page is never incomplete.
"""
import bisect
import collections
import json
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
PAGE = os.path.join(ROOT, "docs", "api.md")
HEADERS = ("sot.h", "router.h", "chat.h", "profile.h", "status.h")
COMPILERS = ("clang-14", "clang")
COLUMNS = 100  # of the headers: a line that ends earlier ends a paragraph

# One declaration. kind: function, struct, enum, callback, handle, macro; members of structs and
# enums are (name, type or value, comment).
Item = collections.namedtuple("Item", "kind name begin end source comment members types")
# An entry of the page: a heading of the header (no items), a text of its own, or declarations.
Block = collections.namedtuple("Block", "heading comment items")


def compiler():
    """The clang there is, or None."""
    return next((path for path in map(shutil.which, COMPILERS) if path), None)


class Header:
    """The text of a header and its comments."""

    def __init__(self, folder, name):
        self.name = name
        with open(os.path.join(folder, name), encoding="latin-1") as file:
            self.text = file.read()  # a character per byte: clang counts bytes
        self.comments = [match.span() for match in re.finditer(r"/\*.*?\*/", self.text, re.DOTALL)]
        self.line_starts = [0] + [i + 1 for i, c in enumerate(self.text) if c == "\n"]

    def line(self, offset):
        return bisect.bisect_right(self.line_starts, offset) - 1

    def stands_alone(self, comment):
        begin = self.line_starts[self.line(comment[0])]
        return not self.text[begin:comment[0]].strip()

    def words(self, begin, end):
        return self.text[begin:end].encode("latin-1").decode()

    def behind(self, offset):
        """The comment that begins on the line of offset, behind it."""
        for begin, end in self.comments:
            if begin >= offset and self.line(begin) == self.line(offset):
                column = begin - self.line_starts[self.line(begin)]
                return paragraphs(self.words(begin, end), column)
        return []

    def code(self, begin, end):
        """What stands there, without comments."""
        text = ""
        for first, last in self.comments:
            if begin <= first < end:
                text += self.text[begin:first]
                begin = last
        return re.sub(r"[ \t]+$", "", text + self.text[begin:end], flags=re.MULTILINE)

    def source(self, begin, end):
        """A declaration as a user of the library reads it."""
        text = re.sub(r" {2,}\\$", r" \\", self.code(begin, end).strip(), flags=re.MULTILINE)
        if text.startswith("SOT_API "):
            text = text[8:].replace("\n        ", "\n")
        return text


def paragraphs(comment, column=0):
    """The paragraphs of a comment that begins in a column, "- " and all that is indented (which
    becomes code) on their own. Authors end a paragraph by a line with room for the next word."""
    lines = re.sub(r"^/\*|\*/$", "", comment).split("\n")
    lines = [re.sub(r"^ *\* ?", "", line).rstrip() if line.lstrip().startswith("*")
             else line.strip() for line in lines]
    result = []
    goes_on = False
    for line, following in zip(lines, lines[1:] + [""]):
        in_list = bool(result) and result[-1].startswith("- ")
        if not line:
            goes_on = False
        elif line.startswith("  ") and not in_list:
            result.append("    " + line.strip())
            goes_on = False
        else:
            line = line.strip()
            begins = line.startswith("- ") or re.match(r"Returns? ", line)
            if result and (goes_on and not begins or line.startswith("Since ")):
                result[-1] += " " + line
            else:
                result.append(line)
            room = COLUMNS - len(" * ") - len(line) - 1
            # Behind a declaration lines are as long as the declaration leaves them.
            goes_on = column > 0 or line[-1] not in ".:)" or result[-1].startswith("- ") or \
                len(following.split(" ")[0]) > room
    return result


def located(node, state):
    """Adds "at", (file, offset), to every location: clang names a file where it changes only."""
    if isinstance(node, dict):
        if "file" in node:
            state["file"] = node["file"]
        if "offset" in node:
            node["at"] = (os.path.basename(state["file"]), node["offset"])
        for key, value in node.items():
            if key != "includedFrom":
                located(value, state)
    elif isinstance(node, list):
        for value in node:
            located(value, state)


def place(node, end=False):
    """(file, offset) of a declaration's name; with end, of its last token's end."""
    location = node["range"]["end"] if end else node["loc"]
    location = location.get("expansionLoc", location)
    name, offset = location.get("at", ("", 0))
    return name, offset + (location["tokLen"] if end else 0)


def syntax(folder):
    """clang's tree of sot.h, and the macros that it defines for C: {name: definition}."""
    command = [compiler(), "-std=c11", os.path.join(folder, "sot.h")]
    done = subprocess.run(command + ["-fsyntax-only", "-Xclang", "-ast-dump=json"],
                          stdout=subprocess.PIPE, check=True)
    tree = json.loads(done.stdout)
    located(tree, {"file": ""})
    done = subprocess.run(command + ["-E", "-dM"], stdout=subprocess.PIPE, check=True)
    macros = re.findall(r"^(#define (SOT_\w+).*)", done.stdout.decode(), re.MULTILINE)
    return tree["inner"], {name: line for line, name in macros if not name.endswith("_H")}


def value_of(constant):
    """What clang says an enumeration's constant is."""
    for node in constant.get("inner", []):
        if "value" in node:
            return node["value"]
    raise ValueError(f"{constant['name']}: no value is written")


def items_of(header, nodes, macros):
    """The declarations of a header in order."""
    found = []
    structs = {}
    meanings = dict(re.findall(r'X\((\w+), -?\d+,\s*"(.*?)"\)', header.text))
    for node in nodes:
        kind = node["kind"]
        if place(node)[0] != header.name or kind not in ("FunctionDecl", "RecordDecl", "EnumDecl",
                                                         "TypedefDecl"):
            continue
        begin = node["range"]["begin"]
        begin = begin.get("expansionLoc", begin)["offset"]
        end = header.text.index(";", place(node, end=True)[1] - 1) + 1
        item = {"name": node.get("name", ""), "begin": begin, "end": end, "members": [],
                "source": header.source(begin, end), "comment": header.behind(end),
                "types": re.findall(r"\bsot_\w+", node.get("type", {}).get("qualType", ""))}
        if kind == "TypedefDecl" and item["name"] in structs:
            structs[item["name"]].update(begin=begin, end=end)
            continue
        if kind == "FunctionDecl":
            item["kind"] = "function"
        elif kind == "TypedefDecl" and "(*" in item["source"]:
            item["kind"] = "callback"
        elif kind == "TypedefDecl" and item["source"].startswith("typedef struct") and \
                "{" not in item["source"]:
            item["kind"] = "handle"
        elif kind == "TypedefDecl":
            item["kind"] = "type"
        elif kind == "EnumDecl":
            item["kind"] = "enum"
            for member in node["inner"]:
                name = member["name"]
                comment = [meanings[name[4:]]] if name[4:] in meanings else \
                    header.behind(place(member)[1])
                item["members"].append((name, value_of(member), comment))
        elif not node.get("completeDefinition"):
            continue
        else:
            item["kind"] = "struct"
            for member in node["inner"]:
                if member["kind"] == "FieldDecl":
                    comment = header.behind(place(member)[1])
                    if member["name"] == "struct_size":
                        comment = comment or ["size of the struct, as its initializer sets it"]
                    item["members"].append((member["name"], member["type"]["qualType"], comment))
            structs[item["name"]] = item
        found.append(item)
    for match in re.finditer(r"^#define (SOT_\w+)((?:.*\\\n)*.*)", header.text, re.MULTILINE):
        if match[1] in macros and match[1] not in [item["name"] for item in found]:
            is_choice = header.text.count(f"#define {match[1]}") > 1  # by language or system
            source = macros[match[1]] if is_choice else header.source(*match.span())
            found.append({"kind": "macro", "name": match[1], "begin": match.start(),
                          "end": match.end(), "source": source,
                          "comment": header.behind(match.end(1)), "members": [], "types": []})
    return [Item(**item) for item in sorted(found, key=lambda item: item["begin"])]


def blocks_of(header, items):
    """The entries of a header. The comment at its top comes first."""
    inside = [(item.begin, item.end) for item in items]
    alone = [comment for comment in header.comments if header.stands_alone(comment)
             and not any(begin <= comment[0] < end for begin, end in inside)]
    things = sorted([(comment, None) for comment in alone] +
                    [((item.begin, item.end), item) for item in items], key=lambda thing: thing[0])
    blocks = []
    last = None  # the end of what the next declaration belongs to, if it follows at once
    for (begin, end), item in things:
        text = header.words(begin, end)
        heading = re.match(r"/\* -{3,} *(.*?) *-{3,}", text)
        if item is None and heading:
            blocks.append(Block(heading[1], [], []))
            last = None
            continue
        if item is None:
            blocks.append(Block(None, paragraphs(text), []))
        elif last is not None and re.fullmatch(r'.*\n((#.*|extern "C" {)\n)*',
                                               header.code(last, begin)):
            blocks[-1].items.append(item)
        else:
            blocks.append(Block(None, [], [item]))
        last = end
    return blocks


def is_initializer(item):
    """SOT_..._INIT, a part of its struct's entry."""
    return re.fullmatch(r"SOT_\w+_INIT", item.name) is not None and item.name != "SOT_STRUCT_INIT"


def lacking(blocks):
    """What the comments do not say: everything has one; a function, a struct and a callback since
    when they are there, what returns a status which; a struct's members what they are."""
    for block in blocks:
        text = " ".join(block.comment)
        for item in block.items:
            said = text + " " + " ".join(item.comment)
            if is_initializer(item):
                continue
            if not said.strip():
                yield f"{item.name or item.members[0][0]}: no comment"
            for name, _, comment in item.members:
                if not comment:
                    yield f"{item.name or 'enum'}: {name}: no comment"
            if item.kind in ("function", "struct", "callback") and "Since " not in said:
                yield f"{item.name}: not since which version"
            if item.source.startswith("sot_status ") and not re.search(r"\bReturns\b", said):
                yield f"{item.name}: not which statuses it returns"


class Page:
    """The Markdown of all entries."""

    def __init__(self, files):
        self.files = files
        self.names = {}  # what is declared: the anchor that has it
        for _, blocks in files:
            for block in blocks:
                for item in block.items:
                    if item.name:
                        self.names[item.name] = item.name
                    if item.kind == "enum":
                        self.names[self.enum_title(item)] = item.members[0][0]
                        self.names.update({name: name for name, _, _ in item.members})
                        for name, _, _ in item.members:  # SOT_MODE_* leads to the first of them
                            self.names.setdefault(re.sub(r"(SOT_[A-Z]+_).*", r"\1*", name), name)
        self.statuses = {name[8:]: name for name in self.names if name.startswith("SOT_ERR_")}

    def link(self, name):
        return f"[`{name}`](#{self.names[name]})"

    def prose(self, text):
        """A comment's text: names in it become links, what Markdown would take for markup does
        not."""
        if text.startswith("- "):
            return "- " + self.prose(text[2:])
        result = ""
        returns = False
        for word in re.split(r"(\w+\(\)|SOT_[A-Z]+_\*|\{\w+\}|(?<!\w)\*\w+|\w+|\W)", text):
            if re.fullmatch(r"[Rr]eturn(s|ed)?", word):
                returns = True
            elif word == "Since":
                returns = False
            if word.replace("()", "") in self.names:
                result += f"[`{word}`](#{self.names[word.replace('()', '')]})"
            elif returns and word in self.statuses:
                result += f"[{word}](#{self.statuses[word]})"
            elif re.fullmatch(r"\*[a-z]\w*|\w*_\w*|\w+\(\)|SOT_\w+\*|\{\w+\}", word):
                result += f"`{word}`"
            else:
                result += re.sub(r"([*_<\[|\\])", r"\\\1", word)
        return result

    def cell(self, comment):
        return " ".join(map(self.prose, comment)).replace("\n", " ")

    def text(self, comment):
        for i, part in enumerate(comment):
            is_code = part.startswith("    ")
            yield part if is_code else self.prose(part)
            if not (i + 1 < len(comment) and (comment[i + 1].startswith("- ") if
                                              part.startswith("- ") else
                                              is_code and comment[i + 1].startswith("    "))):
                yield ""

    def title(self, block):
        names = [self.enum_title(item) if item.kind == "enum" else item.name
                 for item in block.items if not is_initializer(item)]
        return ", ".join(f"`{name}`" for name in names)

    @staticmethod
    def enum_title(item):
        names = [name for name, _, _ in item.members]
        prefix = os.path.commonprefix(names)
        return names[0] if len(names) == 1 else prefix[:prefix.rindex("_") + 1] + "*"

    def entry(self, block):
        items = [item for item in block.items if not self.defined_elsewhere(item)]
        if not items:
            return
        yield "".join(f'<a id="{item.name}"></a>' for item in items if item.name)
        yield ""
        yield f"### {self.title(block._replace(items=items))}"
        yield ""
        source = [item for item in items if item.kind not in ("struct", "enum")
                  and not is_initializer(item)]
        if source:
            yield "```c"
            yield from (item.source for item in source)
            yield "```"
            yield ""
        yield from self.text(block.comment)
        for item in source:
            if item.comment:
                yield (f"- `{item.name}`: " if len(items) > 1 else "") + self.cell(item.comment)
        yield ""
        for item in items:
            if item.kind == "struct":
                yield from self.struct(item)
            elif item.kind == "enum":
                yield from self.enum(item)
        initializers = [item for item in items if is_initializer(item)]
        if initializers:
            yield "Initialized by " + " or ".join(f"`{item.name}`" for item in initializers) + "."
            yield ""
        uses = sorted({name for item in source for name in item.types if name in self.names} -
                      {item.name for item in items} - {"sot_status"})
        if uses:
            yield "Uses " + ", ".join(map(self.link, uses)) + "."
            yield ""

    def struct(self, item):
        yield "| member | type | |"
        yield "|---|---|---|"
        for name, kind, comment in item.members:
            known = [word for word in re.findall(r"\w+", kind) if word in self.names]
            kind = f"[`{kind}`](#{known[0]})" if known else f"`{kind}`"
            yield f"| `{name}` | {kind} | {self.cell(comment)} |"
        yield ""

    def enum(self, item):
        yield "| constant | value | |"
        yield "|---|---|---|"
        for name, value, comment in item.members:
            yield f'| <a id="{name}"></a>`{name}` | {value} | {self.cell(comment)} |'
        yield ""

    def defined_elsewhere(self, item):
        return item.kind == "handle" and any(
            other.name == item.name and other.kind == "struct"
            for _, blocks in self.files for block in blocks for other in block.items)

    def lines(self):
        yield "# The interface of libsot"
        yield ""
        yield "<!-- docs/make_api.py makes this page from the comments of include/sot/*.h. -->"
        yield ""
        yield ("What the headers in `include/sot/` declare, in their order. "
               "[libsot(3)](man/libsot.3) is the introduction.")
        yield ""
        yield from self.contents()
        for header, blocks in self.files:
            yield f"## {header.name}"
            yield ""
            for block in blocks:
                if block.heading:
                    yield f"## {self.heading(header, block)}"
                    yield ""
                elif block.items:
                    yield from self.entry(block)
                else:
                    yield from self.text(block.comment)

    @staticmethod
    def heading(header, block):
        return block.heading if header.name == HEADERS[0] else f"{header.name}: {block.heading}"

    def contents(self):
        for header, blocks in self.files:
            title, names = header.name, []
            for block in blocks + [Block("", [], [])]:
                if block.heading is not None:
                    if names:
                        yield f"- **{title}**: " + ", ".join(map(self.link, names))
                    title = self.heading(header, block)
                    names = []
                names += [item.name for item in block.items
                          if item.kind not in ("macro", "enum") and not is_initializer(item)
                          and not self.defined_elsewhere(item)]
                names += [self.enum_title(item) for item in block.items if item.kind == "enum"]
        yield ""


def make(folder):
    """The page for the headers in a folder, and what their comments lack."""
    nodes, macros = syntax(folder)
    files = []
    for name in HEADERS:
        header = Header(folder, name)
        files.append((header, blocks_of(header, items_of(header, nodes, macros))))
    lacks = [f"{header.name}: {lack}" for header, blocks in files for lack in lacking(blocks)]
    text = "\n".join(Page(files).lines())
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n", lacks


def main(arguments):
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    if not compiler():
        sys.exit(f"make_api.py: none of {', '.join(COMPILERS)} is there")
    page, lacks = make(os.path.join(ROOT, "include", "sot"))
    if lacks:
        sys.exit("\n".join(lacks))
    if not arguments:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(page)
        return
    with open(PAGE, encoding="utf-8") as file:
        if file.read() != page:
            sys.exit("docs/api.md is not what the headers make: run python3 docs/make_api.py")


if __name__ == "__main__":
    main(sys.argv[1:])
