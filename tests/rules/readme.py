"""The program in README.md is examples/echo_server.c, to the letter."""

import re

from rules import Report, arguments


def main():
    root, = arguments()
    report = Report()
    blocks = re.findall(r"^```c\n(.*?)^```$", (root / "README.md").read_text(), re.S | re.M)
    program = (root / "examples/echo_server.c").read_text()
    report.claim(any(block == program for block in blocks),
                 "no ```c block of README.md is identical to examples/echo_server.c")
    report.close()


main()
