"""Sum up what meson's tests said: tally.py BUILD/meson-logs/testlog.json

One meson test is a program of many test cases.  Criterion's programs and our
own say at the end how many passed; a program that says nothing is one case.  A
program that died or failed without a failing case is one failure more.
"""

import json
import re
import sys

CRITERION = re.compile(r"Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)")
OURS = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)


def counts(run):
    """Passed, failed and skipped cases of one program."""
    text = (run.get("stdout") or "") + (run.get("stderr") or "")
    if found := CRITERION.findall(text):
        tested, passing, failing, crashing = map(int, found[-1])
        said = [passing, failing + crashing, tested - passing - failing - crashing]
    elif found := OURS.findall(text):
        said = [int(n or 0) for n in found[-1]]
    else:
        said = [0, 0, 0]
    if run["result"] == "SKIP":
        return said if any(said) else [0, 0, 1]
    if run["result"] in ("OK", "EXPECTEDFAIL"):
        return said if any(said) else [1, 0, 0]
    return [said[0], max(said[1], 1), said[2]]


def main():
    total = [0, 0, 0]
    with open(sys.argv[1], encoding="utf-8") as log:
        runs = [json.loads(line) for line in log if line.strip()]
    for run in runs:
        of_run = counts(run)
        total = [a + b for a, b in zip(total, of_run)]
        if of_run[1]:
            text = (run.get("stdout") or "") + (run.get("stderr") or "")
            print(f"--- {run['name']}: {run['result']}")
            print("\n".join(text.rstrip().split("\n")[-60:]))
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    sys.exit(total[1] > 0 or not runs)


main()
