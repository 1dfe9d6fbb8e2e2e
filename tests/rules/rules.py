"""What the rules have in common: reading C, and counting what was found."""

import pathlib
import re
import subprocess
import sys

COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def strip(text, strings=True):
    """C without its comments and, unless told otherwise, strings; lines keep their numbers."""

    def blank(match):
        found = match.group()
        if found[0] in "\"'":
            return found[0] * 2 if strings else found
        return " " + "\n" * found.count("\n")

    return COMMENT_OR_STRING.sub(blank, text)


def sources(root, *folders, suffixes=(".c", ".h")):
    """The files below root/folder, sorted."""
    found = []
    for folder in folders:
        found += [p for p in (root / folder).rglob("*") if p.suffix in suffixes]
    return sorted(found)


def public_functions(root):
    """The functions that the public headers declare with COIR_API."""
    names = set()
    for header in sources(root, "include", suffixes=(".h",)):
        text = re.sub(r"^\s*#.*?(?<!\\)$", "", strip(header.read_text()), flags=re.S | re.M)
        for declaration in re.findall(r"\bCOIR_API\b([^;{]*)", text):
            names.add(re.search(r"\b(coir_\w+)\s*\(", declaration).group(1))
    return names


def test_names(root):
    """The names suite/test of every Test(), RunTest() and RunTestOn() in the sources."""
    names = set()
    for path in sources(root, "tests", suffixes=(".c", ".h")):
        text = strip(path.read_text())
        found = re.findall(r"\b(?:Run)?Test(?:On)?\((?:\s*\d+\s*,)?\s*(\w+)\s*,\s*(\w+)", text)
        names |= {f"{suite}/{name}" for suite, name in found}
    return names


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Report:
    """Counts claims; those that do not hold are printed as they come."""

    def __init__(self):
        self.passed = self.failed = 0

    def claim(self, holds, complaint):
        if holds:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAIL {complaint}")

    def close(self):
        """The last line, and the exit code."""
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(self.failed > 0)


def arguments():
    """Root of the source tree, then whatever the rule takes."""
    return pathlib.Path(sys.argv[1]).resolve(), *map(pathlib.Path, sys.argv[2:])
