"""tests/asyncio/cpython.txt: every test of CPython's that asyncio's tasks are described by.

Each row names tests that exist, and says what is different, or why there is nothing to
test.  A test in tests/asyncio names the methods that it is for in the comment above it,
and their rows name the test.  Where CPython's own suite is installed, no method of the
listed files is missing, and none is made up.
"""

import ast
import pathlib
import re
import sys

from rules import Report, arguments, sources, test_names

TABLE = "tests/asyncio/cpython.txt"
SUITE = pathlib.Path("/usr/lib/python3.11/test")
TEST = re.compile(r"(?:/\*((?:(?!\*/).)*)\*/\s*)?^(?:Run)?Test(?:On)?\((?:\s*\d+\s*,)?"
                  r"\s*(\w+)\s*,\s*(\w+)", re.S | re.M)
METHOD = re.compile(r"\b(?:(test_\w+)\.(\w+)\.)?(test_\w+)\b")


def lines(text):
    """(number, line), without comments; lines that are indented belong to the one before."""
    joined = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.split("#")[0].rstrip()
        if line.startswith(" ") and joined:
            joined[-1][1] += line
        elif line:
            joined.append([number, line])
    return joined


class Row:
    def __init__(self, file, cls, newer, cells):
        self.file, self.cls, self.newer = file, cls, newer
        self.method, self.kind, *rest = cells + [""]
        self.tests = rest[0].split() if self.kind != "n/a" else []
        self.words = rest[-2] if self.kind != "covered" else "covered"
        self.length = {"covered": 3, "differs": 4, "n/a": 3}.get(self.kind)

    def key(self):
        return pathlib.Path(self.file).stem, self.cls, self.method


def read_table(report, text):
    rows, section = {}, None
    for number, line in lines(text):
        header = re.fullmatch(r"\[(\S+) (\w+)( newer)?\]", line)
        cells = [cell.strip() for cell in line.split("|")]
        if header:
            section = header.groups()
            continue
        report.claim(section and len(cells) > 2, f"{TABLE}:{number}: neither class nor row")
        if not section or len(cells) <= 2:
            continue
        row = Row(*section, cells)
        report.claim(row.length == len(cells), f"{TABLE}:{number}: not a row of its kind")
        report.claim(row.kind == "n/a" or row.tests, f"{TABLE}:{number}: no test")
        report.claim(len(row.words) > 3, f"{TABLE}:{number}: no reason")
        report.claim(row.key() not in rows, f"{TABLE}:{number}: {row.method} is there twice")
        rows[row.key()] = row
    return rows


def methods_named(comment):
    """The methods named above a test: file.Class.test_a, and test_b of the same class."""
    found, prefix = set(), (None, None)
    for file, cls, method in METHOD.findall(comment or ""):
        prefix = (file, cls) if file else prefix
        found.add((*prefix, method))
    return found


def check_comments(report, root, rows):
    for path in sources(root, "tests/asyncio"):
        for comment, suite, name in TEST.findall(path.read_text()):
            test, where = f"{suite}/{name}", f"{path.relative_to(root)}: {suite}/{name}"
            named = methods_named(comment)
            listed = {key for key, row in rows.items() if test in row.tests}
            report.claim(named, f"{where} names no method of CPython's")
            for key in sorted(named ^ listed, key=str):
                method = ".".join(map(str, key))
                report.claim(False, f"{where} and {TABLE} do not agree on {method}")


def methods_of(path):
    """(class, method) of each test in a file of CPython's suite."""
    for cls in ast.parse(path.read_text()).body:
        if isinstance(cls, ast.ClassDef):
            for method in cls.body:
                if getattr(method, "name", "").startswith("test"):
                    yield cls.name, method.name


def check_complete(report, rows):
    for file in sorted({row.file for row in rows.values()}):
        stem, path = pathlib.Path(file).stem, SUITE / file
        if not path.exists() or sys.version_info < (3, 11):
            print(f"skipped: whether {file} is complete (libpython3.11-testsuite)")
            continue
        there = set(methods_of(path))
        classes = {cls for cls, _ in there}
        for cls, method in sorted(there):
            report.claim((stem, cls, method) in rows or (stem, cls, "*") in rows,
                         f"{TABLE} has no {file} {cls}.{method}")
        for row in rows.values():
            if row.file == file and not row.newer:
                report.claim((row.cls, row.method) in there
                             or (row.method == "*" and row.cls in classes),
                             f"{TABLE}: there is no {file} {row.cls}.{row.method}")


def main():
    root, = arguments()
    report = Report()
    rows = read_table(report, (root / TABLE).read_text())
    report.claim(rows, f"{TABLE} is empty")
    existing = test_names(root)
    for row in rows.values():
        for test in row.tests:
            report.claim(test in existing, f"{TABLE}: there is no test {test}")
    check_comments(report, root, rows)
    check_complete(report, rows)
    report.close()


main()
