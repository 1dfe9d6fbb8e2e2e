"""docs/cancellation.md and docs/from-asyncio.md are complete, and name what exists.

The first has a table row for every function whose comment says that it suspends, with
at least one test.  The second names every public function.  A name that no header has
stands only on lines that say "not in this version".
"""

import re

from rules import Report, arguments, public_functions, sources, test_names

PIECE = re.compile(r"/\*.*?\*/|^[ \t]*#(?:[^\n]*\\\n)*[^\n]*|\bCOIR_API\b[^;{]*?\b(coir_\w+)\s*\(",
                   re.S | re.M)
LATER = "not in this version"


def suspending(text):
    """The functions of a header that suspend.  One without a Suspends line of its own is
    as the one before it."""
    names, suspends = set(), False
    for piece in PIECE.finditer(text):
        said = re.search(r"^ \* Suspends  (\w+)", piece.group(), re.M)
        if said:
            suspends = said.group(1) != "never"
        elif piece.group(1) and suspends:
            names.add(piece.group(1))
    return names


def check_rows(report, text, functions, existing):
    rows = {}
    for line in text.split("\n"):
        row = re.fullmatch(r"\| `(coir_\w+)` \|[^|]*\|([^|]*)\|", line)
        if row:
            rows[row.group(1)] = re.findall(r"`(\w+/\w+)`", row.group(2))
    for function in sorted(functions):
        report.claim(function in rows, f"docs/cancellation.md has no row for {function}")
    for function in sorted(rows):
        report.claim(function in functions, f"docs/cancellation.md: {function} does not suspend")
        report.claim(rows[function], f"docs/cancellation.md: no test for {function}")
    for name in re.findall(r"`(\w+/\w+)`", text):
        if name != "tests/api" and name != "tests/io":
            report.claim(name in existing, f"docs/cancellation.md: there is no test {name}")


def check_names(report, name, text, known):
    for number, line in enumerate(text.split("\n"), 1):
        unknown = set(re.findall(r"\b(?:coir|COIR)_\w+", line)) - known
        if LATER in line:
            report.claim(unknown, f"{name}:{number}: all of it is in this version")
        else:
            report.claim(not unknown, f"{name}:{number}: there is no {', '.join(sorted(unknown))}")


def main():
    root, = arguments()
    report, functions, headers = Report(), set(), ""
    for header in sources(root, "include", suffixes=(".h",)):
        functions |= suspending(header.read_text())
        headers += header.read_text()
    known = set(re.findall(r"\b(?:coir|COIR)_\w+", headers))
    cancellation = (root / "docs/cancellation.md").read_text()
    asyncio = (root / "docs/from-asyncio.md").read_text()
    report.claim(functions, "no header says that a function suspends")
    check_rows(report, cancellation, functions, test_names(root))
    for function in sorted(public_functions(root)):
        report.claim(re.search(rf"\b{function}\b", asyncio),
                     f"docs/from-asyncio.md does not name {function}")
    check_names(report, "docs/cancellation.md", cancellation, known)
    check_names(report, "docs/from-asyncio.md", asyncio, known)
    report.close()


main()
