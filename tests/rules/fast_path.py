"""The fast paths have no lock prefix, no exchange with memory, no fence.

fast_path.txt names the functions, one to a line.  They and everything they call
are looked at, as far as `slow` and `cold` functions, named there too.
"""

import re

from rules import Report, arguments, output

COSTLY = re.compile(r":\s+(lock |mfence|xchg .*\()")
BRANCH = re.compile(r"\b(?:call|jmp|j[a-z]+)\s+[0-9a-f]+ <([^>+@]+)(@plt)?>")


def disassemble(shared):
    """Function -> the lines of its body."""
    bodies, body = {}, []
    for line in output("objdump", "-d", "--no-show-raw-insn", str(shared)).split("\n"):
        header = re.match(r"[0-9a-f]+ <(.+)>:", line)
        if header:
            body = bodies[header.group(1)] = []
        else:
            body.append(line.strip())
    return bodies


def read_list(path):
    """The fast functions, and those at which to stop."""
    fast, slow = [], set()
    for line in path.read_text().split("\n"):
        words = line.split("#")[0].split()
        if len(words) == 2 and words[0] in ("slow", "cold"):
            slow.add(words[1])
        elif words:
            fast += words
    return fast, slow


def reachable(start, bodies, slow):
    """start and what it calls, each with the path that leads there."""
    paths, queue = {start: start}, [start]
    for name in queue:
        for line in bodies[name]:
            for callee, _ in BRANCH.findall(line):
                plain = re.split(r"\.(?:part|isra|constprop)", callee)[0]
                if (callee not in bodies or callee in paths or plain in slow
                        or callee.endswith(".cold")):
                    continue
                paths[callee] = f"{paths[name]} -> {callee}"
                queue.append(callee)
    return paths


def main():
    root, shared = arguments()
    report = Report()
    bodies = disassemble(shared)
    fast, slow = read_list(root / "tests/rules/fast_path.txt")
    for name in sorted(slow):
        report.claim(any(re.split(r"\.", body)[0] == name for body in bodies),
                     f"fast_path.txt: {name}, said to be slow, is not in the library")
    for name in fast:
        report.claim(name in bodies, f"fast_path.txt: {name} is not in the library")
        if name not in bodies:
            continue
        for callee, path in reachable(name, bodies, slow).items():
            costly = [line for line in bodies[callee] if COSTLY.search(line)]
            report.claim(not costly, f"{path}: {costly[:3]}")
    report.close()


main()
