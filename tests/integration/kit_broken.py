#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A plugin for each rule of the conformance kit that breaks this one rule.

Each is found by it, and by no other.  One that breaks none passes.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SRC = pathlib.Path(os.environ['srcdir'])
BUILD = pathlib.Path(os.environ['builddir'])
PROGRAM = BUILD / 'agent-studio'
HERE = SRC / 'tests/integration/kit'
FLAGS = ['-std=gnu11', '-O1', '-g', '-Wall', '-Werror', '-fPIC', '-shared',
         '-fvisibility=hidden', '-Wl,-z,noexecstack', '-Wno-unused-function',
         f'-I{SRC}/sdk/include']

KINDS = {'end': 'llm', 'order': 'llm', 'vectors': 'llm', 'models': 'llm',
         'identity': 'auth', 'hits': 'vector'}
# Other ways to break a rule, some of them with what the host offers.
RULES = {'exit': 'crash', 'crash_alloc': 'crash', 'cancel_file': 'cancel',
         'deadline_program': 'deadline', 'errors_table': 'errors',
         'leak_stream': 'leak', 'descriptor_program': 'descriptor',
         'ask_on': 'ask', 'ask_again': 'ask', 'secret_said': 'secret'}
number = 0
failed = False


def point(name, ok, why=''):
    global number, failed
    number += 1
    failed |= not ok
    print(f'{"ok" if ok else "not ok"} {number} - kit: {name}')
    for line in [] if ok else why.splitlines():
        print(f'# {line}')
    sys.stdout.flush()


def rules():
    text = (SRC / 'core/kit/rules.def').read_text()
    return re.findall(r'^RULE\((\w+),', text, re.M)


def build(work, what):
    kind = KINDS.get(what, 'toolkit')
    name = f'{kind}_{what}'
    said = f'{kind}_other' if what == 'name' else name
    out = work / f'{name}.so'
    cc = os.environ.get('CC') or 'cc'
    subprocess.run(
        [*cc.split(), *FLAGS, f'-DNAME="{said}"', f'-DBREAK_{what}',
         f'-DKIND_{kind}', '-o', str(out), str(HERE / 'broken.c')]
        + (['-Wl,-z,execstack'] if what == 'stack' else []), check=True)
    if what == 'file':
        data = out.read_bytes()
        out.write_bytes(data[:len(data) - 100])
    return out


def check(so, script, *more):
    done = subprocess.run(
        [str(PROGRAM), 'plugin', 'check', str(so), '--script', str(script),
         '--json', *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True)
    try:
        return done.returncode, json.loads(done.stdout), done.stderr
    except ValueError:
        return done.returncode, {'findings': []}, done.stdout + done.stderr


def try_one(work, what):
    script = HERE / 'check.json'
    if what == 'expect':
        script = work / 'expect.json'
        script.write_text('{"tools": {"do": [{"expect": {"result": "no"}}]}}')
    code, report, err = check(build(work, what), script, '--seconds',
                              '2' if what == 'hang' else '20')
    found = sorted({f['rule'] for f in report['findings']})
    want = RULES.get(what, what)
    ok = found == [want] and code == 1 and all(
        f['seen'] and f['must'] and f['remedy'] for f in report['findings'])
    point(f'{what} is found by {want}', ok,
          f'exit {code}, found {found}\n{json.dumps(report, indent=1)}\n{err}')


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix='agent-studio-kit.'))
    only = sys.argv[1:]
    try:
        code, report, err = check(build(work, 'none'), HERE / 'check.json')
        point('one that breaks no rule passes',
              code == 0 and not report['findings'],
              json.dumps(report, indent=1) + err)
        code, report, err = check(build(work, 'services'), HERE / 'services.json')
        point('one that uses all services as it should passes',
              code == 0 and not report['findings'] and not report['notes'],
              json.dumps(report, indent=1) + err)
        for what in rules() + list(RULES):
            if not only or what in only:
                try_one(work, what)
    finally:
        shutil.rmtree(work)
    print(f'1..{number}')
    return failed


sys.exit(main())
