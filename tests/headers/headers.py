"""Each public header compiles by itself, as C11 and as C++17, with every compiler there is."""

import pathlib
import shutil
import subprocess
import sys

LANGUAGES = {
    ("gcc", "clang"): ["-xc", "-std=c11", "-Wstrict-prototypes"],
    ("g++", "clang++"): ["-xc++", "-std=c++17"],
}
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]


def compile_alone(compiler, language, include, header):
    """The complaints about a program that is #include <header> and nothing else."""
    command = [compiler, *language, *WARNINGS, "-fsyntax-only", f"-I{include}", "-"]
    program = f"#include <{header}>\n#include <{header}>\nint main(void) {{ return 0; }}\n"
    return subprocess.run(command, input=program, text=True, capture_output=True).stderr


def main():
    include = pathlib.Path(sys.argv[1])
    passed = failed = skipped = 0
    for compilers, language in LANGUAGES.items():
        for compiler in compilers:
            if not shutil.which(compiler):
                skipped += 1
                print(f"skipped: no {compiler}")
                continue
            for path in sorted(include.rglob("*.h")):
                header = path.relative_to(include)
                complaints = compile_alone(compiler, language, include, header)
                passed, failed = passed + (not complaints), failed + bool(complaints)
                if complaints:
                    print(f"FAIL {compiler} {' '.join(language)} <{header}>\n{complaints}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(failed > 0)


main()
