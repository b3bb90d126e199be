#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The reference of the SDK, made of its headers.

usage: reference.py INCLUDE_DIR > reference.md
       reference.py --lint INCLUDE_DIR

A function is documented by the comment above it: what it is for, what it fails
with, since when it is there.  --lint complains if one of these is missing.
"""
import pathlib
import re
import sys

ORDER = ['plugin', 'option', 'host', 'json', 'toolkit', 'llm', 'vector', 'auth',
         'db', 'process', 'stream', 'error', 'version']
FUNCTION = re.compile(
    r'(?:/\*(?P<doc>(?:(?!\*/).)*)\*/\n)?'
    r'(?:AS_PRINTF\([^)]*\)\n)?'
    r'(?P<suspends>AS_SUSPENDS )?static inline (?P<type>[^\n]*)\n'
    r'(?P<name>as_\w+)\((?P<args>[^{]*?)\)\n\{', re.S)
STRUCT = re.compile(
    r'(?:/\*(?P<doc>(?:(?!\*/).)*)\*/\n)?'
    r'(?P<text>(?:struct|enum) (?P<name>as_(?!\w*_host\b)\w+) \{\n.*?^\};)',
    re.S | re.M)
MACRO = re.compile(
    r'(?:/\*(?P<doc>(?:(?!\*/).)*)\*/\n)?'
    r'#define (?P<name>AS_[A-Z]+)(?P<args>\([^)]*\))', re.S)
FAILS = re.compile(r'Cannot fail|Fails with AS_|Failure: ')
SINCE = re.compile(r'since (\d+\.\d+)\.')


def words(doc):
    """The text of a comment, its paragraphs and code kept apart."""
    lines = [re.sub(r'^ ?\* ?', '', line)
             for line in (doc or '').strip().split('\n')]
    out = []
    for line in lines:
        if line.startswith('\t'):
            out.append(line)
        elif out and out[-1] and line and not out[-1].startswith('\t'):
            out[-1] += ' ' + line.strip()
        else:
            out.append(line.strip())
    return '\n'.join(out).replace('.  ', '. ').strip()


def is_section(doc):
    return doc is None or doc.lstrip().startswith('----')


def head_of(text):
    """The comment at the top of a header, which says what it is about."""
    found = re.search(r'^/\*\n(.*?)\*/', text, re.S | re.M)
    return words(found.group(1)) if found else ''


def print_functions(text):
    for f in FUNCTION.finditer(text):
        args = ' '.join(f['args'].split())
        doc = words(None if is_section(f['doc']) else f['doc'])
        since = SINCE.search(doc)
        doc = re.sub(r';? ?since \d+\.\d+\.', '.', doc)
        gap = '' if f['type'].endswith('*') else ' '
        print(f'\n### {f["name"]}\n\n\t{f["type"]}{gap}{f["name"]}({args});\n')
        print(doc)
        print('\nMay suspend. ' if f['suspends'] else '\nDoes not suspend. ',
              f'Since {since.group(1) if since else "?"}.', sep='')


def print_types(text):
    for s in STRUCT.finditer(text):
        print(f'\n### {s["text"].split()[0]} {s["name"]}\n')
        if not is_section(s['doc']):
            print(words(s['doc']) + '\n')
        for line in s['text'].split('\n'):
            print('\t' + line if line else '')


def print_macros(text):
    for m in MACRO.finditer(text):
        print(f'\n### {m["name"]}{" ".join(m["args"].split())}\n')
        print(words(None if is_section(m['doc']) else m['doc'])
              or 'See the head of the header.')


def reference(folder):
    print('# Reference of the SDK\n\nMade of the headers. Three rules hold for '
          'all functions and are at the top\nof `host.h`: memory, threads, '
          'waiting.')
    for name in ORDER:
        text = (folder / 'agentstudio' / f'{name}.h').read_text()
        print(f'\n## agentstudio/{name}.h\n\n{head_of(text)}')
        print_types(text)
        if name in ('plugin', 'option', 'json'):
            print_macros(text)
        print_functions(text)


def lint(folder):
    bad = []
    count = 0
    for path in sorted((folder / 'agentstudio').glob('*.h')):
        text = path.read_text()
        if path.stem not in ORDER:
            bad.append(f'{path.name}: not in ORDER of reference.py')
        for f in FUNCTION.finditer(text):
            count += 1
            doc = words(None if is_section(f['doc']) else f['doc'])
            line = text.count('\n', 0, f.start('name')) + 1
            for what, rule in (('what it fails with', FAILS),
                               ('since when it is there', SINCE)):
                if not rule.search(doc):
                    bad.append(f'{path.name}:{line}: {f["name"]} does not say '
                               f'{what}')
            if len(re.sub(FAILS.pattern + '.*', '', doc, flags=re.S)) < 5:
                bad.append(f'{path.name}:{line}: {f["name"]} does not say what '
                           'it is for')
        if text.count('static inline') != len(FUNCTION.findall(text)):
            bad.append(f'{path.name}: a function is not in house style')
    for problem in bad:
        print('#', problem)
    print(f'{"not ok" if bad else "ok"} 1 - reference: {count} public functions '
          'say what they are for, how they fail and since when they are there')
    print('1..1')
    return 1 if bad or count == 0 else 0


if len(sys.argv) == 3 and sys.argv[1] == '--lint':
    sys.exit(lint(pathlib.Path(sys.argv[2])))
if len(sys.argv) != 2:
    sys.exit(__doc__)
reference(pathlib.Path(sys.argv[1]))
