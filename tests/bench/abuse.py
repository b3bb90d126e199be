# SPDX-License-Identifier: Apache-2.0
"""Bad clients, and what the others on the node notice of them."""
import base64
import hmac
import statistics
import urllib.request

from plane import *

REQUESTS, RUNS, THREADS = 400, 50, 600  # a second; histories stay short
ROUNDS = 24


class Polite:
    """Who behaves, for the whole time; and how long they waited."""

    def __init__(self, host, lines):
        self.process = start(BUILD / 'tests/bench/polite', host.port, REQUESTS,
                             RUNS, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
        self.process.stdin.write(lines + '\n')
        self.process.stdin.flush()
        self.line()

    def line(self):
        words = self.process.stdout.readline().split()
        if not words:
            sys.exit('bench: who behaves was not served')
        return [float(word) for word in words[1:]]

    def ask(self):
        self.process.stdin.write('\n')
        self.process.stdin.flush()
        return self.line(), self.line()

    def window(self, seconds):
        self.ask()
        time.sleep(seconds)
        return self.ask()


class Rude:
    """Takes what CPU time nobody else wants."""

    def __init__(self, host, how, lines, connections=4):
        self.process = start(
            'chrt', '--idle', '0', BUILD / 'tests/bench/rude', how, host.port,
            connections, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True)
        self.process.stdin.write(lines + '\n')
        self.process.stdin.flush()
        if self.process.stdout.readline() != 'ready\n':
            sys.exit('bench: the bad client was not answered')

    def stop(self):
        self.process.stdin.close()
        found = {int(x): int(y) for x, y in
                 (line.split() for line in self.process.stdout)}
        self.process.wait()
        children.remove(self.process)
        return found


def p99(values):
    return sorted(values)[int((len(values) - 1) * 0.99)]


# ---- What the bad clients are given --------------------------------------

def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def token_until(host, token, expires):
    """The same token, good until another second."""
    head, claims, _ = token.split('.')
    claims = json.loads(base64.urlsafe_b64decode(claims + '=='))
    claims['exp'] = expires
    signed = f'{head}.{base64url(json.dumps(claims).encode())}'
    key = bytes.fromhex((host.data / 'access.key').read_text())
    return f'{signed}.{base64url(hmac.digest(key, signed.encode(), "sha256"))}'


def lines_of(token, *paths):
    return ''.join(f'{token} {path}\n' for path in paths)


class Person:
    """Has a thread with something in it."""

    def __init__(self, host):
        line = threads_make(host, 1)
        chat_load([host], line, 1, 1)
        self.host = host
        self.token, self.thread = line.split()
        self.socket = f'/ws/chat/{self.thread}/'

    def foreign(self, thread):
        return lines_of(self.token, f'/ws/chat/{thread}/',
                        f'/api/chat/sessions/{thread}/events')

    def cursors(self):
        return lines_of(self.token, *(f'{self.socket}?after_seq={seq}' for seq
                                      in ('-1', 'x', 1 << 50, 1 << 80)))

    def expiring(self):
        """Two that will be over in a moment, two more in the window."""
        now = int(time.time())
        return ''.join(lines_of(token_until(self.host, self.token, now + n),
                                self.socket) for n in (1, 1, 2, 2))

    def ticket(self):
        used = request(self.host.port, 'POST', '/api/ws/ticket', {},
                       self.token)['ticket']
        return f'none {self.socket}?ticket={used}\n'

    def own(self):
        return lines_of(self.token, self.socket)


# ---- The measurement ---------------------------------------------------------

@contextlib.contextmanager
def server_apart():
    """Servers that are started in it have a core for themselves."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit('bench: abuse needs two cores, one for the server alone')
    for pid in [0] + tree_of(POSTGRES_PID):
        os.sched_setaffinity(pid, cores[1:])
    try:
        yield cores[0]
    finally:
        for pid in [0] + tree_of(POSTGRES_PID):
            with contextlib.suppress(OSError):
                os.sched_setaffinity(pid, cores)


def pin(pid, core):
    for task in os.listdir(f'/proc/{pid}/task'):
        os.sched_setaffinity(int(task), [core])


def connections(host):
    with urllib.request.urlopen(
            f'http://127.0.0.1:{host.port}/metrics') as answer:
        return next(int(float(line.split()[1]))
                    for line in answer.read().decode().splitlines()
                    if line.startswith('agent_studio_http_connections '))


class Windows:
    """p99 of requests and first tokens without and with a bad client."""

    def __init__(self, polite, host, disturb):
        self.polite, self.host, self.disturb = polite, host, disturb
        self.others = connections(host)
        self.quiet, self.abused = [], []
        self.codes, self.cpu = {}, 0

    def window(self, found):
        begin = cpu_seconds(self.host.pid)
        found.append([p99(x) for x in self.polite.window(options.seconds / 4)])
        return cpu_seconds(self.host.pid) - begin

    def bad_window(self):
        rude = self.disturb()
        self.cpu += self.window(self.abused)
        for code, n in rude.stop().items():
            self.codes[code] = self.codes.get(code, 0) + n
        while connections(self.host) > self.others:  # his are not the next's
            pass

    def more(self):
        """Which one of a pair comes first changes each time: what the machine
        and the server do every second or two must not meet the same always."""
        for _ in range(ROUNDS // 2):
            self.cpu -= self.window(self.quiet)
            self.bad_window()
            self.bad_window()
            self.cpu -= self.window(self.quiet)

    def p99(self):
        return [[statistics.median(x) for x in zip(*found)]
                for found in (self.quiet, self.abused)]

    def ratio(self):
        return max(y / x for x, y in zip(*self.p99()))

    def more_cpu(self):
        return self.cpu / len(self.abused) / (options.seconds / 4)


def abuse_row(what, limit, polite, host, disturb):
    """If it is not good enough, it is looked at longer."""
    w = Windows(polite, host, disturb)
    w.more()
    while limit and w.ratio() > limit and len(w.abused) < 3 * ROUNDS:
        w.more()
    quiet, abused = w.p99()
    row(f'p99 of others, {what}', f'{w.ratio():.2f} x', limit and f'{limit} x',
        w.ratio() <= limit if limit else None,
        'request {:.2f} / {:.2f} ms, first token {:.2f} / {:.2f} ms'.format(
            abused[0], quiet[0], abused[1], quiet[1]) +
        f', {w.more_cpu() * 100:.0f} % more CPU, {len(w.abused)} times' +
        ''.join(f', {n} x {code}' for code, n in sorted(w.codes.items())))


class Nobody:
    def stop(self):
        return {}


def bench_abuse():
    with server_apart() as core:
        redis = Redis()
        stub, port = stub_model(5000, 5, 'stamped')
        [host] = plane('abuse', 1, port, redis, 'server.loops=1',
                       'auth.grace=0')
        pin(host.pid, core)
        lines = threads_make(host, THREADS)
        token = lines.split()[0]
        agent = request(host.port, 'GET', '/api/agents/', None,
                        token)['items'][0]['id']
        polite = Polite(host, ''.join(f'{line} /api/agents/{agent}/\n'
                                      for line in lines.splitlines()))
        polite.window(options.seconds)
        abuse_row('nobody is bad', None, polite, host, Nobody)
        for what, how, given in (
                ('threads of others', 'knock',
                 lambda bad: bad.foreign(lines.split()[1])),
                ('wrong cursors', 'knock', Person.cursors),
                ('a token that expires', 'stay', Person.expiring),
                ('a ticket used twice', 'knock', Person.ticket),
                ('readers that stop', 'deaf', Person.own),
                ('10,000 frames a second', 'flood', Person.own)):
            abuse_row(what, 1.2, polite, host,
                      lambda: Rude(host, how, given(Person(host))))
        stop(polite.process)
        host.stop()
        stop(stub)
        redis.stop()
