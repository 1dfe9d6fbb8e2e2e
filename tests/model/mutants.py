#!/usr/bin/env python3
"""Weaken every memory order of the modelled headers by one step, drop every
fence, leave out every optional step of the models, and see that a model fails.

    mutants.py DIRECTORY_OF_THE_COMPILED_MODELS [HEADER...]

A mutant that no model kills must stand in survivors.txt with a reason.
"""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
RUNTIME = os.path.join(HERE, '..', '..', 'runtime')

# Which models read which header, the quickest first.
MODELS = {
    'handover.h': ['handover', 'idle'],
    'idle.h': ['idle'],
    'parking.h': ['park'],
}
STEPS = {'idle': ['pass_on', 'look']}

WEAKER = {
    'load': {'acquire': ['relaxed'], 'seq_cst': ['acquire']},
    'store': {'release': ['relaxed'], 'seq_cst': ['release']},
    'rmw': {'acquire': ['relaxed'], 'release': ['relaxed'], 'acq_rel': ['acquire', 'release'],
            'seq_cst': ['acq_rel']},
}

OPERATION = re.compile(r'coir_(load|store|xchg|add|sub|or|cas)_(acquire|release|acq_rel|seq_cst)'
                       r'\(([^,()]*)|coir_fence_\w+\(\)')
FUNCTION = re.compile(r'static inline .*\b(coir_\w+)\(')


def mutants_of(header):
    """(line, weaker order, name) for each mutant of a header."""
    function = ''
    code = open(os.path.join(RUNTIME, header)).read().split('#ifndef COIR_MODEL')[0]
    for number, line in enumerate(code.split('\n'), 1):
        if FUNCTION.match(line):
            function = FUNCTION.match(line).group(1)
        for found in OPERATION.finditer(line):
            kind, order, operand = found.groups()
            if not kind:
                yield number, 'none', f'{function}: no {found.group(0)[:-2]}'
                continue
            for weaker in WEAKER.get(kind, WEAKER['rmw'])[order]:
                yield number, weaker, f'{function}: coir_{kind}_{order}({operand}) -> {weaker}'


def run(directory, model, *arguments):
    return subprocess.run([os.path.join(directory, model), *arguments],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


def is_killed(directory, models, arguments):
    """True, False, or None if no model ever came to the line."""
    codes = []
    for model in models:
        codes.append(run(directory, model, *arguments))
        if codes[-1] not in (0, 3):
            return True
    return False if 0 in codes else None


def read_survivors():
    """Name -> reason.  A reason is indented, below its names."""
    reasons, names = {}, []
    for line in open(os.path.join(HERE, 'survivors.txt')):
        if line.startswith('#') or not line.strip():
            names = []
        elif not line.startswith(' '):
            names.append(line.strip())
        else:
            for name in names:
                reasons[name] = reasons.get(name, '') + line.strip()
    return reasons


def judge(name, killed, reasons):
    if killed:
        verdict = 'unexpected: killed, and listed in survivors.txt' if name in reasons else 'killed'
    elif killed is None:
        verdict = 'unexpected: no model runs this line'
    else:
        verdict = 'survives, with a reason' if reasons.get(name) else 'unexpected: SURVIVES'
    print(f'{verdict:26} {name}', flush=True)
    return not verdict.startswith('unexpected')


def main():
    directory, headers = sys.argv[1], sys.argv[2:] or list(MODELS)
    reasons, good = read_survivors(), []
    for header in headers:
        for line, weaker, name in mutants_of(header):
            killed = is_killed(directory, MODELS[header],
                               ['--mutate', header, str(line), weaker])
            good.append(judge(f'{header} {name}', killed, reasons))
    for model, steps in STEPS.items():
        for step in steps:
            killed = run(directory, model, '--without', step) == 1
            good.append(judge(f'{model}.cpp --without {step}', killed, reasons))
    print(f'{sum(good)} passed, {len(good) - sum(good)} failed')
    return 0 if all(good) else 1


sys.exit(main())
