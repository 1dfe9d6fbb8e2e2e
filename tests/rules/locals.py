"""Thread-locals are in runtime/current.c and errno is in runtime/sys.c, nowhere else.

A task that suspends may go on on another thread, and compilers keep the address
of a thread-local, errno among them, across the call that suspended.  Checked in
the source, and in the objects of the library.
"""

import re

from rules import Report, arguments, output, sources, strip

HOME = {"current.c": "thread-locals", "sys.c": "errno"}
IN_SOURCE = {
    "thread-locals": re.compile(r"\b(_Thread_local|__thread|thread_local|pthread_getspecific)\b"),
    "errno": re.compile(r"\b(errno|__errno_location)\b"),
}
STACK_PROTECTOR = "%fs:0x28"
IN_OBJECT = re.compile(r"__errno_location|__tls_get_addr|%fs:|\bR_X86_64_(GOT)?TPOFF|tpidr_el0")


def check_source(report, root):
    for path in sources(root, "runtime", "io"):
        text = strip(path.read_text())
        for what, pattern in IN_SOURCE.items():
            if path.parent.name == "runtime" and HOME.get(path.name) == what:
                continue
            lines = [text.count("\n", 0, m.start()) + 1 for m in pattern.finditer(text)
                     if not re.match(r"#\s*include", text[text.rfind("\n", 0, m.start()) + 1:])]
            report.claim(not lines, f"{path.relative_to(root)}:{lines}: {what} belong in "
                         + next(home for home, kind in HOME.items() if kind == what))


def uses_of_thread_pointer(object_file):
    """The functions in an object that read a thread-local, with the instruction."""
    found, function = {}, "?"
    for line in output("objdump", "-dr", "--no-show-raw-insn", str(object_file)).split("\n"):
        header = re.match(r"[0-9a-f]+ <(.+)>:", line)
        if header:
            function = header.group(1)
        elif IN_OBJECT.search(line) and STACK_PROTECTOR not in line:
            found.setdefault(function, line.strip())
    return found


def check_objects(report, folder):
    objects = sorted(folder.glob("*.o"))
    report.claim(len(objects) > 0, f"{folder}: no objects to look at")
    for path in objects:
        if path.name in ("runtime_current.c.o", "runtime_sys.c.o"):
            continue
        uses = uses_of_thread_pointer(path)
        report.claim(not uses, f"{path.name}: {uses}")


def main():
    root, objects = arguments()
    report = Report()
    check_source(report, root)
    check_objects(report, objects)
    report.close()


main()
