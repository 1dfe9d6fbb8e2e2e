"""The library exports what the public headers declare with COIR_API, and no more.

What is not static is called coir_ all the same: in the static library nothing
is hidden.  Once loaded the library stays: its signal handler does.
"""

import re

from rules import Report, arguments, output, public_functions


def symbols(*command):
    """The defined symbols that nm prints."""
    return {line.split()[-1] for line in output("nm", *command).split("\n")
            if re.match(r"[0-9a-f]+ [TDBRVWuG] ", line)}


def main():
    root, shared, static = arguments()
    report = Report()
    declared, exported = public_functions(root), symbols("-D", str(shared))
    report.claim(len(declared) > 0, "no COIR_API in include/")
    for name in sorted(declared | exported):
        report.claim(name in exported, f"{name} is declared with COIR_API, but not exported")
        report.claim(name in declared, f"{name} is exported, but not declared with COIR_API")
    for name in sorted(symbols("-g", str(static))):
        report.claim(name.startswith("coir_"), f"{name} is not static, and not called coir_")
    report.claim("NODELETE" in output("readelf", "-d", str(shared)),
                 "the library was not linked with -z nodelete")
    report.close()


main()
