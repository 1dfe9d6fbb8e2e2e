"""tests/api/coverage.txt: every public function times every way a call can go.

    coir_read | cancelled_before | fd/read_of_a_cancelled_task_reads_nothing
    coir_now  | cancelled_before | - does not suspend

Each function has a line for each column below, and one for each documented
error, `-ENOMEM` and its like, of its own.  It names a test that exists, or gives
a reason why there is none.

tests/api/test_fork.c calls every public function in a forked child.
"""

import re

from rules import Report, arguments, public_functions, test_names

COLUMNS = ("success", "error", "cancelled_before", "cancelled_during", "cancelled_after", "null",
           "misuse")


def rows(path):
    for number, line in enumerate(path.read_text().split("\n"), 1):
        cells = [cell.strip() for cell in line.split("#")[0].split("|")]
        if cells != [""]:
            yield number, cells


def main():
    root, = arguments()
    report = Report()
    functions, existing, covered = public_functions(root), test_names(root), set()
    for number, cells in rows(root / "tests/api/coverage.txt"):
        where = f"tests/api/coverage.txt:{number}"
        report.claim(len(cells) == 3, f"{where}: not `function | column | test`")
        if len(cells) != 3:
            continue
        function, column, test = cells
        covered.add((function, "error" if column.startswith("-E") else column))
        report.claim(function in functions, f"{where}: {function} is not a public function")
        report.claim(column in COLUMNS or re.fullmatch(r"-E[A-Z0-9]+", column),
                     f"{where}: there is no column {column}")
        if test.startswith("-"):
            report.claim(len(test.strip("- ")) > 3, f"{where}: no test and no reason")
        else:
            for name in re.split(r"[ ,]+", test):
                report.claim(name in existing, f"{where}: there is no test {name}")
    for function in sorted(functions):
        for column in COLUMNS:
            report.claim((function, column) in covered, f"{function} has nothing for {column}")
    in_child = set(re.findall(r"\bROW\((\w+)\)", (root / "tests/api/test_fork.c").read_text()))
    for function in sorted(functions):
        report.claim(function in in_child, f"{function} has no row in tests/api/test_fork.c")
    report.close()


main()
