"""Every function of runtime/sys.h, and every call of liburing that reaches the kernel, has a
wrapper that can let it fail, or is named at the head of tests/support/faults.c as one that
cannot fail.
"""

import re

from rules import Report, arguments, strip

# What only looks at the ring's memory, and what ends it.
HARMLESS = {"get_sqe", "cq_advance", "cq_ready", "sq_ready", "for_each_cqe", "sqe_set_data64",
            "queue_exit", "unregister_ring_fd", "free_probe", "opcode_supported"}


def wrapped(text):
    """The names that the wrappers are for, written out or made by a macro."""
    names = set(re.findall(r"\b__wrap_((?:coir_sys|io_uring)_\w+)\s*\(", text))
    for macro, name in re.findall(r"\b(WRAP\w*)\(FAULT_\w+,\s*(?:[\w *]+,\s*)?(\w+),\s*\(", text):
        names.add(("io_uring_" if macro == "WRAP_RING" else "coir_sys_") + name)
    return names


def main():
    root, = arguments()
    report = Report()
    source = (root / "tests/support/faults.c").read_text()
    cannot = set(re.findall(r"\w+", source[source.index("mistake of the caller's:"):
                                           source.index("tests/rules/faults.py")]))
    able = wrapped(source)
    declared = re.findall(r"\bcoir_sys_(\w+)\(", strip((root / "runtime/sys.h").read_text()))
    report.claim(declared, "runtime/sys.h declares nothing")
    for name in declared:
        report.claim(f"coir_sys_{name}" in able or name in cannot,
                     f"coir_sys_{name} has no wrapper in tests/support/faults.c")
    for name in set(re.findall(r"\bio_uring_(\w+)\(", strip((root / "io/uring.c").read_text()))):
        report.claim(f"io_uring_{name}" in able or name in HARMLESS or name.startswith("prep_"),
                     f"io_uring_{name} has no wrapper in tests/support/faults.c")
    report.close()


main()
