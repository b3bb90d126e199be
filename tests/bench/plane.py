# SPDX-License-Identifier: Apache-2.0
"""Sockets, streams, and many processes on one PostgreSQL and one Redis."""
import statistics

from tools import *

GATHER_MS = 40  # the longest time for which text is gathered into one delta


class Redis:
    def __init__(self):
        self.path = OUT / 'redis.sock'
        self.url = f'unix://{self.path}'
        self.process = start(
            'redis-server', '--port', '0', '--unixsocket', self.path, '--save',
            '', '--appendonly', 'no', '--dir', OUT,
            stdout=subprocess.DEVNULL)
        while True:
            with contextlib.suppress(OSError), \
                    socket.socket(socket.AF_UNIX) as s:
                s.connect(str(self.path))
                return
            time.sleep(0.01)

    def xadd_rate(self, payload):
        """X: what redis-benchmark reaches with a payload of that size."""
        n = int(40000 * options.seconds)
        out = subprocess.run(
            ['redis-benchmark', '-s', self.path, '-P', '16', '-n', str(n),
             '--csv', 'XADD', 'bench', 'MAXLEN', '~', '4000', '*', 'd',
             'x' * int(payload)],
            check=True, capture_output=True, text=True).stdout
        return float(out.splitlines()[-1].split('","')[1])

    def stop(self):
        stop(self.process)
        self.path.unlink(missing_ok=True)


def new_database(name):
    psql = pathlib.Path(PGBENCH).with_name('psql')
    subprocess.run([psql, '-q', '-c', 'SET client_min_messages = error',
                    '-c', f'DROP DATABASE IF EXISTS {name}', '-c',
                    f'CREATE DATABASE {name}', POSTGRES], check=True)
    return POSTGRES.replace('/test?', f'/{name}?')


def plane(name, n, stub_port, redis, *more):
    """That many servers on one new database."""
    url = new_database(name)
    hosts = []
    for i in range(n):
        hosts.append(chat_host(
            f'{name}-{i}', stub_port, url, f'redis.url={redis.url}', *more,
            keys_of=hosts[0] if hosts else None))
    for host in hosts:
        while not ready(host):
            time.sleep(0.02)
    return hosts


def ready(host):
    c = http.client.HTTPConnection('127.0.0.1', host.port, timeout=60)
    c.request('GET', '/readyz')
    answer = c.getresponse()
    answer.read()
    c.close()
    return answer.status == 200


class Viewers:
    """Sockets in a process of its own, and what they have heard."""

    def __init__(self, host, lines, n, sources=4):
        self.process = start(BUILD / 'tests/bench/viewers', host.port, n,
                             sources, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
        self.n = n
        self.host = host
        self.process.stdin.write(lines + '\n')
        self.process.stdin.flush()

    def opened(self):
        line = self.process.stdout.readline().split()
        if not line or int(line[1]) != self.n:
            sys.exit('bench: the sockets could not be opened; the host said:\n'
                     + pathlib.Path(self.host.log.name).read_text()[-2000:])
        return self

    def ask(self, question='count'):
        self.process.stdin.write(question + '\n')
        self.process.stdin.flush()
        words = self.process.stdout.readline().split()
        if not words:
            sys.exit('bench: viewers ended')
        return {words[i]: int(words[i + 1]) for i in range(0, len(words), 2)}

    def stop(self):
        stop(self.process)


# ---- Frames through Redis ----------------------------------------------------

def bus_load(redis, host, lines, viewers):
    load = start(BUILD / 'tests/bench/bus_load', redis.url, host.port, viewers,
                 options.seconds, stdin=subprocess.PIPE,
                 stdout=subprocess.PIPE, text=True)
    load.stdin.write(lines)
    load.stdin.close()
    text = ''
    pids = host.pid, redis.process.pid
    for line in load.stdout:
        text += line
        now = [cpu_seconds(pid) for pid in pids]
        if line.startswith('ready'):
            before = now
        elif line.startswith('published'):
            after = now
    if load.wait() != 0:
        sys.exit('bench: bus_load failed')
    children.remove(load)
    v = values_of(text)
    v['reader_us'], v['redis_us'] = (
        (y - x) / v['published'] * 1e6 for x, y in zip(before, after))
    return v


def bench_bus():
    redis = Redis()
    [host] = plane('bus', 1, 1, redis, 'worker.embedded=false')
    payload = 300
    redis.xadd_rate(payload)
    for what, threads, viewers, limit in (
            ('distinct deltas to another process', 50, 1, 0.06),
            ('deltas delivered, 100 viewers a thread', 10, 100, 0.5)):
        lines = threads_make(host, threads)
        best = None
        for _ in range(3):
            x = redis.xadd_rate(payload)
            v = bus_load(redis, host, lines, viewers)
            x = (x + redis.xadd_rate(v['frame_bytes'])) / 2
            payload = v['frame_bytes']
            v['rate'] = v['delivered'] / v['seconds']
            v['ratio'] = v['rate'] / x
            say(f'{v["rate"]:.0f}/s, X {x:.0f}/s')
            if best is None or v['ratio'] > best['ratio']:
                best, best_x = v, x
        row(f'{what} / XADD', f'{best["ratio"]:.3f} x', f'{limit} x',
            best['ratio'] >= limit,
            f'{best["rate"]:.0f}/s / {best_x:.0f}/s, of '
            f'{best["frame_bytes"]:.0f} B, '
            f'{1 - best["delivered"] / best["published"] / viewers:.1%} merged')
        row('CPU of a published delta',
            f'{best["publisher_us"] + best["redis_us"] + best["reader_us"]:.1f}'
            ' us', note=f'publisher {best["publisher_us"]:.1f}, Redis '
            f'{best["redis_us"]:.1f}, reader {best["reader_us"]:.1f} us, '
            f'{viewers} sockets')
    host.stop()
    redis.stop()


# ---- Fan-out in one process --------------------------------------------------

def write_us(n, size):
    out = subprocess.run([BUILD / 'tests/bench/write_loop', str(n), str(size),
                          '40', '20'], check=True, capture_output=True,
                         text=True).stdout
    return values_of(out)['write_us']


def fanout_once(host, token, thread, viewers):
    """CPU time of a frame on a socket, and its size."""
    cpu, before = cpu_seconds(host.pid), viewers.ask('await message_end')
    request(host.port, 'POST', f'/api/chat/sessions/{thread}',
            {'content': 'hello'}, token)
    while (now := viewers.ask())['heard'] < viewers.n:
        time.sleep(0.2)
    frames = now['frames'] - before['frames']
    return ((cpu_seconds(host.pid) - cpu) / frames * 1e6,
            (now['bytes'] - before['bytes']) / frames, frames / viewers.n)


def bench_fanout():
    n = 10000
    stub, port = stub_model(150000, 60)
    host = chat_host('fanout', port, None, 'server.loops=1')
    lines = threads_make(host, 1)
    token, thread = lines.split()
    viewers = Viewers(host, lines, n).opened()
    best = None
    for _ in range(3):
        ours, size, each = fanout_once(host, token, thread, viewers)
        bare = write_us(n, size + 4)
        say(f'{ours:.2f} us, write {bare:.2f} us, {each:.1f} frames of '
            f'{size:.0f} B each')
        if best is None or bare / ours > best[0]:
            best = bare / ours, ours, bare
    row(f'a delta to {n:,} sockets / write() in a loop', f'{best[0]:.2f} x',
        '0.5 x', best[0] >= 0.5,
        f'{best[2]:.2f} us / {best[1]:.2f} us CPU a socket')
    viewers.stop()
    host.stop()
    stop(stub)


# ---- From the provider's byte to the socket ----------------------------------

def latency_rows(what, hosts, limit, other=()):
    lines = threads_make(hosts[0], 600)
    v = chat_load(hosts, lines, max(2, options.seconds / 2), 128, other=other)
    half = v['runs'] / v['seconds'] / 2
    best = None
    for _ in range(3):
        v = chat_load(hosts, lines, options.seconds, half, 'pace', other)
        if best is None or v['first_token_p99_ms'] < best['first_token_p99_ms']:
            best = v
    note = f'{half:.0f} runs/s'
    row(f'first token to the socket, {what}, p99',
        f'{best["first_token_p99_ms"]:.1f} ms', f'{limit} ms',
        best['first_token_p99_ms'] <= limit,
        f'p50 {best["first_token_p50_ms"]:.1f} ms, {note}')
    row(f'oldest token of a delta, {what}, p99',
        f'{best["token_p99_ms"]:.1f} ms', f'{limit + GATHER_MS} ms',
        best['token_p99_ms'] <= limit + GATHER_MS,
        f'p50 {best["token_p50_ms"]:.1f} ms, {GATHER_MS} of it to gather')


def bench_latency():
    redis = Redis()
    stub, port = stub_model(5000, 20, 'stamped')
    hosts = plane('same', 1, port, redis)
    latency_rows('same node', hosts, 15)
    hosts[0].stop()
    hosts = plane('across', 1, port, redis, 'worker.embedded=false')
    worker = Worker('across-worker', port, f'redis.url={redis.url}',
                    database=POSTGRES.replace('/test?', '/across?'))
    latency_rows('across nodes', hosts, 40, [worker.pid])
    worker.stop()
    hosts[0].stop()
    stop(stub)
    redis.stop()


# ---- Sockets that do nothing -------------------------------------------------

def bench_sockets():
    n = 18000
    host = chat_host('sockets', 1)
    lines = threads_make(host, n + 500)
    host.stop()
    host = chat_host('sockets', 1)  # without what the making has left free
    first = '\n'.join(lines.split('\n')[n:])
    # What the first ones need once is not theirs.
    warm = Viewers(host, first, 500).opened()
    time.sleep(2)
    before = host.memory('Rss')
    viewers = Viewers(host, lines, n).opened()
    time.sleep(2)  # fibers that have ended give their stacks back
    each = (host.memory('Rss') - before) / n
    row(f'idle WebSocket, of {n:,}, RSS', f'{each / 1024:.2f} KB', '5 KB',
        each <= 5 * 1024, 'each in a thread of its own')
    viewers.stop()
    warm.stop()
    host.stop()


def bench_many():
    """Many sockets over four processes: each of them hears what is next."""
    processes, each, threads = 4, 15000, 60
    redis = Redis()
    hosts = plane('many', processes, 1, redis, 'worker.embedded=false')
    lines = threads_make(hosts[0], threads)
    viewers = [Viewers(host, lines, each) for host in hosts]
    for v in viewers:
        v.opened()
        v.ask('await message_created')
    begin = time.monotonic()
    for i, line in enumerate(lines.split('\n')[:threads]):
        token, thread = line.split()
        request(hosts[i % processes].port, 'POST',
                f'/api/chat/sessions/{thread}', {'content': 'hello'}, token)
    posted = time.monotonic() - begin
    while sum(heard := [v.ask()['heard'] for v in viewers]) < \
            processes * each and time.monotonic() < begin + 60:
        time.sleep(0.05)
    row(f'of {processes * each:,} sockets, {processes} processes, heard an '
        'event', f'{sum(heard):,}', f'{processes * each:,}',
        sum(heard) == processes * each,
        f'{threads} messages in {posted:.1f} s, all after '
        f'{time.monotonic() - begin:.1f} s')
    for v in viewers:
        v.stop()
    for host in hosts:
        host.stop()
    redis.stop()


# ---- The same load on more processes -----------------------------------------

def rest_us(hosts, targets, seconds, rate):
    """CPU time of the hosts for a request, at a rate."""
    load = start(BUILD / 'tests/bench/rest_load',
                 ','.join(str(h.port) for h in hosts), seconds, rate, 32,
                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    load.stdin.write(targets)
    load.stdin.close()
    load.stdout.readline()
    before = sum(cpu_seconds(h.pid) for h in hosts)
    line = load.stdout.readline().split()
    cpu = sum(cpu_seconds(h.pid) for h in hosts) - before
    if load.wait() != 0:
        sys.exit('bench: rest_load failed')
    children.remove(load)
    return cpu / int(line[1]) * 1e6


def rest_targets(host):
    token = host.sign_up(f'rest{random.random()}@example.org')['access_token']
    agents = [request(host.port, 'POST', '/api/agents/',
                      {'name': f'Agent {i}', 'system_prompt': 'Be brief.'},
                      token) for i in range(50)]
    return ''.join(f'{token} /api/agents/{a["id"]}/\n' for a in agents)


def idle_ms(hosts):
    """CPU time of all in a second in which nobody asks anything."""
    before = sum(cpu_seconds(h.pid) for h in hosts)
    time.sleep(options.seconds)
    cpu = sum(cpu_seconds(h.pid) for h in hosts) - before
    return cpu / options.seconds * 1000


class Yardstick:
    """An nginx process that answers what a host has answered."""

    def __init__(self, name, head, body):
        self.process, self.port = nginx_start(head, body, name)
        self.pid = self.process.pid


def yardsticks(host, targets, counts):
    token, path = targets.split('\n')[0].split()
    head, body = raw_answer(host.port, path, token)
    return {n: [Yardstick(f'nginx{n}-{i}', head, body) for i in range(n)]
            for n in counts}


def bench_nodes():
    """One load on 1, 2 and 4 processes; and a quarter of it on 1, which is what
    each of the 4 has to do. nginx shows what the machine makes of it.

    All are there all the time and take turns, for a machine that others
    share is not equally fast all the time; so it is the growth in each round
    of which the median is taken."""
    rest_rate, run_rate, rounds, seconds = 4000, 150, 11, options.seconds / 2
    redis = Redis()
    stub, port = stub_model(5000)
    hosts, targets, lines = {}, {}, {}
    for n in (1, 2, 4):
        hosts[n] = plane(f'nodes{n}', n, port, redis, 'server.loops=1',
                         f'redis.prefix=nodes{n}')
        targets[n] = rest_targets(hosts[n][0])
        lines[n] = threads_make(hosts[n][0], 400)
    nginxes = yardsticks(hosts[1][0], targets[1], hosts)
    measures = (
        ('request of nginx', lambda n, share: rest_us(
            nginxes[n], targets[n], seconds, rest_rate * share)),
        ('REST request', lambda n, share: rest_us(
            hosts[n], targets[n], seconds, rest_rate * share)),
        ('run', lambda n, share: chat_load(
            hosts[n], lines[n], seconds, run_rate * share, 'pace')['host_us']))
    cases = ((1, 1 / 4), (1, 1), (2, 1), (4, 1))
    found = [[], [], [], []]
    for i in range(1 + rounds):
        for (n, share), into in zip(cases, found):
            v = [measure(n, share) for _, measure in measures]
            say('%d processes, load %g: nginx %.1f us, a request %.1f us, '
                'a run %.0f us' % (n, share, *v))
            if i > 0:  # after what is done but once
                into.append(v)
    for i, (what, _) in enumerate(measures):
        each, total = (statistics.median(y[i] / x[i] for x, y in
                                         zip(one, found[3]))
                       for one in found[:2])
        row(f'CPU of a {what}, 4 / 1, same load each',
            f'{each:.2f} x', i and '1.1 x', each <= 1.1 if i else None,
            f'same load in total: {total:.2f} x; ' + ' / '.join(
                f'{statistics.median(v[i] for v in case):.0f}'
                for case in found) + ' us with 1, a quarter of the load / '
            '1 / 2 / 4')
    idle = [idle_ms(hosts[4]) / 4 for _ in range(3)]
    row('CPU of a process that does nothing', f'{sorted(idle)[1]:.1f} ms/s')
    for n in hosts:
        for host in hosts[n]:
            host.stop()
        for nginx in nginxes[n]:
            stop(nginx.process)
    stop(stub)
    redis.stop()


# ---- Coming back -------------------------------------------------------------

def bench_reconnect():
    missed = 2000
    for store, database in (('SQLite', None),
                            ('PostgreSQL', new_database('reconnect'))):
        stub, port = stub_model(1000)  # not too many frames a second
        host = chat_host(f'reconnect-{store.lower()}', port, database)
        line = threads_make(host, 1)
        token, thread = line.split()
        head = 0
        while head <= missed:
            chat_load([host], line, 1, 1)
            page = request(host.port, 'GET',
                           f'/api/chat/sessions/{thread}/', None, token)
            head = page['head_seq']
        best = min((values_of(subprocess.run(
            [BUILD / 'tests/bench/reconnect', str(host.port), token, thread,
             str(missed), '40'], check=True, stdout=subprocess.PIPE,
            text=True).stdout) for _ in range(5)), key=lambda v: v['p95_ms'])
        row(f'reconnect, {missed:,} events missed, {store}, p95',
            f'{best["p95_ms"]:.1f} ms', '200 ms', best['p95_ms'] <= 200,
            f'p50 {best["p50_ms"]:.1f} ms')
        host.stop()
        stop(stub)
