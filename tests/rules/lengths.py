"""The longest files and functions of the library, to look at.  No gate."""

import re

from rules import Report, arguments, sources, strip


def functions(text):
    """(lines, name) of each function: from the opening brace in column 0 to the closing."""
    for match in re.finditer(r"^(\w[^;{}]*?\b(\w+)\([^;{}]*\))\s*^\{$(.*?)^\}$", strip(text),
                             re.S | re.M):
        yield match.group(3).count("\n") + 1, match.group(2)


def main():
    root, = arguments()
    files, bodies = [], []
    for path in sources(root, "runtime", "io", suffixes=(".c", ".h")):
        text = path.read_text()
        name = path.relative_to(root)
        files.append((text.count("\n"), name))
        bodies += [(n, f"{name} {function}") for n, function in functions(text)]
    for title, sizes in (("files", files), ("functions", bodies)):
        sizes = sorted(sizes, key=lambda pair: -pair[0])
        lines = [n for n, _ in sizes]
        print(f"{len(sizes)} {title}, {sum(lines)} lines, median {lines[len(lines) // 2]}:")
        for n, name in sizes[:5]:
            print(f"  {n:5} {name}")
    report = Report()
    report.claim(bodies, "no function found")
    report.close()


main()
