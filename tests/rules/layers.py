"""Who may include whom.

runtime/ is a total order of levels: a file may include headers of its own level
and of levels before it.  io/ may include the few headers of runtime/ that are
its interface.  Programs and the tests of the public interface see <coir.h>.
"""

import re

from rules import Report, arguments, sources, strip

# One line per level; the stem of a file, or a file where header and source differ.
LEVELS = """
atomics
sys
current
context
backtrace
stack
task
runqueue handover inbox timer
driver.h
idle blocking.h parking calm lend local.h
probe.h
autopsy.h
worker.h
park
enter.h
cancel.h
waiters.h
group.h
cancel
waiters
interrupt
worker.c rescue tidy probe stall fork
select.h mutex.h deadlock.h
autopsy
await
deadlock
mutex
group future local time blocking to cpus debug error cond event semaphore barrier once rwlock queue
select.c
lifecycle.h
runtime runner
""".split("\n")[1:-1]

IO_MAY_INCLUDE = {"atomics.h", "sys.h", "current.h", "driver.h", "park.h", "cancel.h", "timer.h",
                  "blocking.h"}
PROGRAMS = ("examples", "bench", "tests/api", "tests/io", "tests/bridges")
MAY_NOT_INCLUDE_LIBURING = ("include", "runtime", "examples")


def level(path):
    for number, names in enumerate(LEVELS):
        if {path.name, path.stem, path.stem.split("_")[0]} & set(names.split()):
            return number
    return None


def includes(path):
    """(line number, "..." or <...>, name) of each #include."""
    for number, line in enumerate(strip(path.read_text(), strings=False).split("\n"), 1):
        found = re.match(r'\s*#\s*include\s*(["<])([^">]+)', line)
        if found:
            yield number, found.group(1), found.group(2)


def resolve(root, path, name):
    """The file of this project that is included, relative to its root; or None."""
    for folder in (path.parent, root, root / "include", root / "tests"):
        candidate = (folder / name).resolve()
        if candidate.is_file() and candidate.is_relative_to(root):
            return candidate.relative_to(root)
    return None


def allowed(root, path, target):
    """Whether path may include target, both relative to root."""
    kind, where = path.parts[0], target.parts[0]
    if kind == "include":
        return where == "include"
    if kind == "runtime":
        if where == "runtime":
            return level(target) is not None and level(target) <= level(path)
        return where == "include"
    if kind == "io":
        return where in ("include", "io") or (where == "runtime" and target.name in IO_MAY_INCLUDE)
    if str(path).startswith(PROGRAMS):
        return target.parts == ("include", "coir.h") or where not in ("include", "runtime", "io")
    return True


def main():
    root, = arguments()
    report = Report()
    for path in sources(root, "include", "runtime", "io", *PROGRAMS, suffixes=(".c", ".h", ".S")):
        relative = path.relative_to(root)
        if relative.parts[0] == "runtime":
            report.claim(level(relative) is not None, f"{relative}: has no level in layers.py")
            if level(relative) is None:
                continue
        for line, quote, name in includes(path):
            target = resolve(root, path, name)
            if target:
                report.claim(allowed(root, relative, target),
                             f"{relative}:{line}: may not include {target}")
            if name.startswith("liburing"):
                report.claim(relative.parts[0] not in MAY_NOT_INCLUDE_LIBURING,
                             f"{relative}:{line}: may not include <liburing.h>")
    report.close()


main()
