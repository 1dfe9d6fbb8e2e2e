"""A sanitizer must find the deliberate bug of a program: blind.py PROGRAM COMPLAINT."""

import subprocess
import sys

program, complaint = sys.argv[1:]
run = subprocess.run([program], capture_output=True, text=True, errors="replace", timeout=120)
found = run.returncode != 0 and complaint in run.stderr
if not found:
    print(f"FAIL {program} exited with {run.returncode}, without '{complaint}':\n{run.stderr}")
print(f"{found:d} passed, {not found:d} failed")
sys.exit(not found)
