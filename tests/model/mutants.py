#!/usr/bin/env python3
"""Weaken every memory order of the modelled files, drop every fence, leave out
each step of the models that can be, and see that a model fails.

    mutants.py DIRECTORY_OF_THE_COMPILED_MODELS [HEADER...]

One order at a time, by one step; but seq_cst first to relaxed: what survives that
survives the steps between, and only if it does not, they are tried.

A mutant that no model kills must stand in survivors.txt with a reason.
"""
import concurrent.futures
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
RUNTIME = os.path.join(HERE, '..', '..', 'runtime')

# Which models read which header.
MODELS = {
    'handover.h': ['handover', 'idle'],
    'idle.h': ['idle'],
    'parking.h': ['park'],
    'calm.h': ['calm'],
    'waiters.h': ['sync'],
    'waiters.c': ['sync'],
    'mutex.c': ['sync'],
}
STEPS = {'idle': ['pass_on', 'look'], 'calm': ['attach', 'cancel']}

# Order -> what is tried; in a group, the next only if the one before is killed.
WEAKER = {
    'load': {'acquire': [['relaxed']], 'seq_cst': [['relaxed', 'acquire']]},
    'store': {'release': [['relaxed']], 'seq_cst': [['relaxed', 'release']]},
    'rmw': {'acquire': [['relaxed']], 'release': [['relaxed']],
            'acq_rel': [['acquire'], ['release']], 'seq_cst': [['relaxed', 'acq_rel']]},
}

OPERATION = re.compile(r'coir_(load|store|xchg|add|sub|or|cas)_(acquire|release|acq_rel|seq_cst)'
                       r'\(([^,()]*)|coir_fence_\w+\(\)')
FUNCTION = re.compile(r'(?:static |\w)[\w *]*?\b(\w+)\([^;]*$')


def mutants_of(header):
    """For each mutant its name and the model's arguments, in groups."""
    function = ''
    code = re.sub(r'#ifndef COIR_MODEL.*?#endif', lambda part: '\n' * part.group().count('\n'),
                  open(os.path.join(RUNTIME, header)).read(), flags=re.S)
    for number, line in enumerate(code.split('\n'), 1):
        begun = FUNCTION.match(re.sub(r'__attribute__\(\(\w+\)\) ', '', line))
        function = begun.group(1) if begun else function
        for found in OPERATION.finditer(line):
            kind, order, operand = found.groups()
            groups = WEAKER.get(kind, WEAKER['rmw'])[order] if kind else [['none']]
            text = f'{header} {function}: {found.group(0)})'.replace('())', '()')
            for group in groups:
                yield [(f'{text} -> {weaker}', ['--mutate', header, str(number), weaker])
                       for weaker in group]


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
    print(f'{verdict:25} {name}', flush=True)
    return not verdict.startswith('unexpected')


def judge_group(directory, models, group, reasons):
    """Judge mutants until one survives."""
    good = []
    for name, arguments in group:
        killed = is_killed(directory, models, arguments)
        good.append(judge(name, killed, reasons))
        if not killed:
            break
    return good


def main():
    directory, headers = sys.argv[1], sys.argv[2:] or list(MODELS)
    jobs = [(MODELS[header], group) for header in headers for group in mutants_of(header)]
    jobs += [([model], [(f'{model}.cpp --without {step}', ['--without', step])])
             for model, steps in STEPS.items() for step in steps]
    reasons = read_survivors()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        good = sum(pool.map(lambda job: judge_group(directory, *job, reasons), jobs), [])
    print(f'{sum(good)} passed, {len(good) - sum(good)} failed')
    return 0 if all(good) else 1


sys.exit(main())
