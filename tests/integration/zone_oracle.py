#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Python's zoneinfo says of the system's zones, for t_zones.c to compare.

usage: zone_oracle.py DOCS

Prints lines, tab-separated, times in seconds since 1970:

    offset ZONE TIME OFFSET
    next   ZONE FROM UNTIL LINE TIME...     every time in (FROM, UNTIL)
    docs   ZONE FROM N LINE TIME...         the rows of the table in DOCS

The times of a cron line are found by looking at a clock minute by minute, which
is slow, and nothing like what cron_next does: whenever the clock jumps ahead,
what it leaves out is due at once; what it shows again is not due again; and
where the hour is any, only what it shows counts.
"""
import datetime
import random
import re
import sys
import zoneinfo

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1)
PLACES = ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe',
          'Asia/Kathmandu', 'America/Sao_Paulo', 'Africa/Casablanca',
          'Pacific/Apia', 'Europe/Dublin', 'America/Nuuk', 'UTC']
LINES = ['* * * * *', '*/7 * * * *', '30 * * * *', '0 0 * * *', '30 2 * * *',
         '15 2 * * *', '*/20 1-3 * * *', '0 */2 * * *', '0 3 * * *',
         '0 9 30 12 *', '30 1,2 * * sun', '59 23 * * *', '5 0 1,29-31 * mon',
         '* 2 * * *']
# Around these days something happens somewhere.
DAYS = ['2011-12-29', '2018-11-03', '2019-02-16', '2024-03-30', '2024-10-26',
        '2025-03-01', '2026-03-07', '2026-03-28', '2026-04-04', '2026-10-03',
        '2026-10-24', '2026-10-31', '2027-02-06', '2044-10-29', '2091-03-24']


def seconds(t):
    return int((t - EPOCH).total_seconds())


class Clock:
    """Offsets of a zone, each asked once a quarter of an hour."""

    def __init__(self, name):
        self.zone = zoneinfo.ZoneInfo(name)
        self.known = {}

    def offset(self, t):
        quarter = t // 900
        if quarter not in self.known:
            at = datetime.datetime.fromtimestamp(quarter * 900, UTC)
            self.known[quarter] = int(
                at.astimezone(self.zone).utcoffset().total_seconds())
        return self.known[quarter]


def field(text, low, high, names=()):
    found = set()
    for part in text.split(','):
        span, _, step = part.partition('/')
        if span == '*':
            a, b = low, high
        else:
            ends = [low + names.index(e) if e in names else int(e)
                    for e in span.split('-')]
            a, b = ends[0], ends[-1]
        found.update(range(a, b + 1, int(step or 1)))
    return found


class Line:
    """What a line matches: minutes of the day, and days."""

    def __init__(self, line):
        minute, hour, mday, month, wday = line.split()
        hours, minutes = field(hour, 0, 23), field(minute, 0, 59)
        self.any_hour = hour == '*'
        self.minutes = {h * 60 + m for h in hours for m in minutes}
        self.mdays, self.months = field(mday, 1, 31), field(month, 1, 12)
        self.wdays = field(wday, 0, 7, ['sun', 'mon', 'tue', 'wed', 'thu',
                                        'fri', 'sat'])
        self.either = mday[0] != '*' and wday[0] != '*'
        self.days = {}

    def matches_day(self, n):
        if n not in self.days:
            day = EPOCH + datetime.timedelta(days=n)
            found = [day.day in self.mdays, day.isoweekday() in self.wdays
                     or day.isoweekday() % 7 in self.wdays]
            self.days[n] = day.month in self.months and (
                any(found) if self.either else all(found))
        return self.days[n]

    def matches(self, m):
        return m % 1440 in self.minutes and self.matches_day(m // 1440)


def shown(clock, begin, end):
    """Each minute from a while before: when, and what the clock shows."""
    first = begin // 60 - 1500
    return [(t, (t + clock.offset(t)) // 60)
            for t in range(first * 60, end, 60)]


def times(minutes, line, begin):
    """All that is due after begin."""
    line = Line(line)
    found = []
    unseen = minutes[0][1]
    for t, m in minutes:
        if line.any_hour or m == unseen:
            due = line.matches(m)
        else:
            due = any(line.matches(n) for n in range(unseen, m + 1))
        unseen = max(unseen, m + 1)
        if due and begin < t:
            found.append(t)
    return found


def say(*words):
    print('\t'.join(str(w) for w in words))


def say_offsets():
    rand = random.Random(1)
    for name in sorted(zoneinfo.available_timezones()):
        zone = zoneinfo.ZoneInfo(name)
        for _ in range(150):
            t = rand.randrange(-2500000000, 5000000000)
            at = datetime.datetime.fromtimestamp(t, UTC).astimezone(zone)
            say('offset', name, t, int(at.utcoffset().total_seconds()))


def say_times():
    for name in PLACES:
        clock = Clock(name)
        for day in DAYS:
            begin = seconds(datetime.datetime.fromisoformat(day)) - 12 * 3600
            end = begin + 60 * 3600
            minutes = shown(clock, begin, end)
            for line in LINES:
                say('next', name, begin, end, line,
                    *times(minutes, line, begin))


def say_docs(path):
    """| line | zone | from (UTC) | due, local with offset |"""
    n = 0
    for row in open(path, encoding='utf-8'):
        cells = [c.strip().strip('`') for c in row.split('|')]
        if len(cells) != 7 or not re.match(r'\d{4}-\d\d-\d\d ', cells[3]):
            continue
        begin = seconds(datetime.datetime.fromisoformat(cells[3]))
        due = [int(datetime.datetime.fromisoformat(
            d.strip()).timestamp()) for d in cells[4].split(',')]
        told = times(shown(Clock(cells[2]), begin, due[-1] + 60), cells[1],
                     begin)
        if told != due:
            sys.exit(f'{path}: {row.strip()}: {told}, not {due}')
        say('docs', cells[2], begin, len(due), cells[1], *due)
        n += 1
    if n == 0:
        sys.exit(f'{path}: no table')


say_docs(sys.argv[1])
say_offsets()
say_times()
