#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The measurements of script/bench, which builds and starts what they need.

Every limit is a ratio against a yardstick measured in the same run, or an
absolute number of the design.  CPU time is that of a process with all its
threads, from /proc, over requests that were answered.
"""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

BUILD = pathlib.Path(os.environ['BENCH_BUILD'])
OUT = pathlib.Path(os.environ['BENCH_OUT'])
CONF = os.environ['BENCH_CONF']
POSTGRES = os.environ['BENCH_POSTGRES_URL']
POSTGRES_PID = int(os.environ['BENCH_POSTGRES_PID'])
PGBENCH = os.environ['BENCH_PGBENCH']
os.environ['BENCH_KEY'] = 'none'
TICK = os.sysconf('SC_CLK_TCK')
USERS = 100
CONNECTIONS = 32

parser = argparse.ArgumentParser(add_help=False)
parser.add_argument('--seconds', type=float, default=5)
parser.add_argument('--agents', type=int, default=10000)
parser.add_argument('names', nargs='*')
options = parser.parse_args()
NAMES = ['fiber', 'plug', 'start', 'get', 'chat', 'engine', 'takeover', 'parked',
         'token', 'respond', 'sockets', 'queue']
for name in options.names:
    if name not in NAMES:
        sys.exit(f'bench: unknown name {name}; there are {" ".join(NAMES)}')
chosen = options.names or NAMES

rows = []
children = []
the_nginx = None


def say(text):
    print(f'== {text}', file=sys.stderr, flush=True)


def row(what, value, limit=None, good=None, note=''):
    rows.append((what, value, limit or '', good, note))
    verdict = '' if good is None else ' ok' if good else ' MISSED'
    say(f'{what}: {value} {f"(limit {limit})" if limit else ""}{verdict} '
        f'{note}')


# ---- processes ---------------------------------------------------------------

def tree_of(pid):
    """The process and all its descendants."""
    pids = [pid]
    for task in pathlib.Path(f'/proc/{pid}/task').glob('*/children'):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                pids += tree_of(int(child))
    return pids


def cpu_seconds(pid, tree=False):
    total = 0
    for one in tree_of(pid) if tree else [pid]:
        with contextlib.suppress(OSError):
            stat = pathlib.Path(f'/proc/{one}/stat').read_text()
            fields = stat.rpartition(')')[2].split()
            # Of the process, and of children that have ended.
            total += sum(map(int, fields[11:15] if tree else fields[11:13]))
    return total / TICK


def start(*command, **more):
    child = subprocess.Popen([str(c) for c in command], **more)
    children.append(child)
    return child


def stop(child):
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child in children:
        children.remove(child)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def request(port, method, path, body=None, token=None, connection=None):
    c = connection or http.client.HTTPConnection('127.0.0.1', port,
                                                 timeout=60)
    headers = {'Content-Type': 'application/json'} if body else {}
    if token:
        headers['Authorization'] = f'Bearer {token}'
    c.request(method, path, json.dumps(body) if body else None, headers)
    answer = c.getresponse()
    data = answer.read()
    if not connection:
        c.close()
    if answer.status >= 300:
        sys.exit(f'bench: {method} {path}: {answer.status} {data[:300]!r}')
    return json.loads(data) if data else None


def answers(port):
    with contextlib.suppress(OSError):
        with socket.create_connection(('127.0.0.1', port), 1) as s:
            s.sendall(b'GET /healthz HTTP/1.1\r\nHost: bench\r\n'
                      b'Connection: close\r\n\r\n')
            return s.recv(64).startswith(b'HTTP/1.1 200')
    return False


class Host:
    """One agent-studio serve."""

    def __init__(self, name, *settings, database=None):
        self.data = OUT / name
        self.data.mkdir(exist_ok=True)
        self.port = free_port()
        self.log = open(OUT / f'{name}.log', 'ab')
        command = [BUILD / 'agent-studio', 'serve', '--data', self.data,
                   '--port', self.port, '--conf', CONF, '--set',
                   'log.level=warning']
        if database:
            command += ['--set', f'store.url={database}']
        for setting in settings:
            command += ['--set', setting]
        begin = time.monotonic()
        self.process = start(*command, stdout=self.log, stderr=self.log)
        while not answers(self.port):
            if self.process.poll() is not None:
                sys.exit('bench: agent-studio ended:\n' + (
                    OUT / f'{name}.log').read_text()[-3000:])
            if time.monotonic() - begin > 60:
                sys.exit('bench: agent-studio does not answer')
            time.sleep(0.001)
        self.start_seconds = time.monotonic() - begin

    @property
    def pid(self):
        return self.process.pid

    def memory(self, field):
        text = pathlib.Path(f'/proc/{self.pid}/smaps_rollup').read_text()
        for line in text.splitlines():
            if line.startswith(field + ':'):
                return int(line.split()[1]) * 1024
        raise ValueError(field)

    def sign_up(self, email):
        return request(self.port, 'POST', '/api/auth/signup', {
            'email': email, 'password': 'correct horse battery'})

    def stop(self):
        stop(self.process)
        self.log.close()


def stub_model(pause_us):
    child = start(BUILD / 'tests/bench/stub_model', pause_us,
                  stdout=subprocess.PIPE, text=True)
    return child, int(child.stdout.readline().split()[1])


def values_of(text):
    return {line.split()[0]: float(line.split()[1])
            for line in text.splitlines() if len(line.split()) == 2}


# ---- yardsticks --------------------------------------------------------------

def raw_answer(port, path, token):
    """Head and body as sent."""
    with socket.create_connection(('127.0.0.1', port)) as s:
        s.sendall(f'GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n'
                  f'Authorization: Bearer {token}\r\n\r\n'.encode())
        data = b''
        while b'\r\n\r\n' not in data:
            data += s.recv(65536)
        head, body = data.split(b'\r\n\r\n', 1)
        length = next(int(line.split(b':')[1]) for line in head.split(b'\r\n')
                      if line.lower().startswith(b'content-length'))
        while len(body) < length:
            body += s.recv(65536)
    return head.decode(), body.decode()


def wrk(port, script, seconds):
    out = subprocess.run(
        ['wrk', '-t', '1', '-c', str(CONNECTIONS), '-d', f'{seconds:.0f}s',
         '-s', str(script), f'http://127.0.0.1:{port}/'],
        check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        if 'Non-2xx' in line or 'Socket errors' in line:
            sys.exit('bench: ' + out)
    n = next(int(line.split()[0]) for line in out.splitlines()
             if 'requests in' in line)
    return n, n / seconds


def wrk_script(name, targets):
    """A random one of the targets (token, path) for each request."""
    (OUT / f'{name}.txt').write_text(
        ''.join(f'{token} {path}\n' for token, path in targets))
    script = OUT / f'{name}.lua'
    script.write_text('''
local requests = {}
function init()
  math.randomseed(42)
  for line in io.lines("%s") do
    local token, path = line:match("^(%%S+) (%%S+)$")
    requests[#requests + 1] = wrk.format("GET", path,
      { ["Authorization"] = "Bearer " .. token })
  end
end
function request()
  return requests[math.random(#requests)]
end
''' % (OUT / f'{name}.txt'))
    return script


def nginx_start(head, body):
    """nginx that answers what the host answered: same size, same headers."""
    port = free_port()
    own = {'content-type', 'content-length', 'date', 'server', 'connection'}
    headers = [line.split(': ', 1) for line in head.split('\r\n')[1:]]
    quote = lambda s: "'" + s.replace('\\', '\\\\').replace("'", "\\'") + "'"
    more = '\n'.join(f'add_header {name} {quote(value)};'
                     for name, value in headers if name.lower() not in own)
    folder = OUT / 'nginx'
    folder.mkdir(exist_ok=True)
    (folder / 'nginx.conf').write_text(f'''
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    default_type application/json;
    location / {{ {more}
      return 200 {quote(body.replace('$', '.'))};
    }}
  }}
}}
''')
    child = start('nginx', '-c', folder / 'nginx.conf', '-e',
                  folder / 'error.log')
    while True:
        if child.poll() is not None:
            sys.exit('bench: nginx ended; see ' + str(folder / 'error.log'))
        with contextlib.suppress(OSError):
            socket.create_connection(('127.0.0.1', port), 1).close()
            return child, port
        time.sleep(0.01)


class Nginx:
    """CPU time of nginx for one request, in microseconds.

    A machine that others share is not equally fast all the time, so nginx is
    measured before and after what is compared with it, and the mean counts.
    """

    def __init__(self, host, token, path):
        head, body = raw_answer(host.port, path, token)
        ours = len(head) + 4 + len(body)
        child, port = nginx_start(head, body)
        theirs = sum(map(len, raw_answer(port, path, token))) + 4
        stop(child)
        # It has headers of its own: a shorter body makes up for them.
        self.child, self.port = nginx_start(
            head, body[:ours - theirs] if theirs > ours
            else body + '.' * (ours - theirs))
        theirs = sum(map(len, raw_answer(self.port, path, token))) + 4
        self.script = wrk_script('nginx', [(token, path)])
        wrk(self.port, self.script, 1)
        say(f'nginx answers {theirs} bytes, the host {ours}')

    def measure(self):
        seconds = max(1, options.seconds / 2)
        before = cpu_seconds(self.child.pid)
        n, _ = wrk(self.port, self.script, seconds)
        return (cpu_seconds(self.child.pid) - before) / n * 1e6

    def beside(self, measure):
        """What measure() returns, and nginx's time around it."""
        before = self.measure()
        value = measure()
        mean = (before + self.measure()) / 2
        say(f'nginx, constant answer: {mean:.1f} us CPU')
        return value, mean


def nginx():
    global the_nginx
    if the_nginx is None:
        host = Host('nginx')
        token = host.sign_up('nginx@example.org')['access_token']
        agent = request(host.port, 'POST', '/api/agents/', {
            'name': 'Agent 1', 'system_prompt': 'Be brief. ' * 10,
            'toolkits': ['calculator']}, token)
        the_nginx = Nginx(host, token, f'/api/agents/{agent["id"]}/')
        host.stop()
    return the_nginx


def pgbench_tps():
    """message + event + compare-and-set, in three small tables."""
    script = OUT / 'turn.sql'
    script.write_text('''
\\set i random(1, 10000)
BEGIN;
UPDATE bench_runs SET step = step + 1, head_seq = head_seq + 1
  WHERE id = :i AND status = 'running' AND fence = 1;
INSERT INTO bench_messages SELECT gen_random_uuid(), id, step, 'assistant',
  repeat('0123456789', 16), now() FROM bench_runs WHERE id = :i;
INSERT INTO bench_events SELECT id, head_seq, 'message_created',
  repeat('0123456789', 20), now() FROM bench_runs WHERE id = :i;
COMMIT;
''')
    setup = OUT / 'setup.sql'
    setup.write_text('''
CREATE TABLE bench_runs (id bigint PRIMARY KEY, status text NOT NULL,
  step bigint NOT NULL DEFAULT 0, head_seq bigint NOT NULL DEFAULT 0,
  fence bigint NOT NULL DEFAULT 1) WITH (fillfactor = 50);
CREATE TABLE bench_messages (id uuid PRIMARY KEY, run bigint NOT NULL,
  sequence bigint NOT NULL, role text NOT NULL, content text NOT NULL,
  created_at timestamptz NOT NULL, UNIQUE (run, sequence));
CREATE TABLE bench_events (run bigint NOT NULL, seq bigint NOT NULL,
  type text NOT NULL, payload text NOT NULL, created_at timestamptz NOT NULL,
  PRIMARY KEY (run, seq));
INSERT INTO bench_runs SELECT i, 'running' FROM generate_series(1, 10000) i;
''')
    psql = str(pathlib.Path(PGBENCH).with_name('psql'))
    subprocess.run([psql, '-q', '-v', 'ON_ERROR_STOP=1', '-f', str(setup),
                    POSTGRES], check=True)
    out = subprocess.run(
        [PGBENCH, '-n', '-M', 'prepared', '-c', '8', '-j', '1', '-T',
         f'{options.seconds:.0f}', '-f', str(script), POSTGRES],
        check=True, capture_output=True, text=True).stdout
    tps = next(float(line.split()[2]) for line in out.splitlines()
               if line.startswith('tps'))
    row('pgbench, message + event + CAS, 8 clients', f'{tps:.0f} TPS')
    return tps


# ---- measurements ------------------------------------------------------------

def bench_fiber():
    out = subprocess.run([BUILD / 'tests/bench/fiber'], check=True,
                         capture_output=True, text=True).stdout
    v = values_of(out)
    ratio = v['switch_ns'] / v['clock_ns']
    row('suspend + resume of a fiber / clock_gettime', f'{ratio:.1f} x',
        '5 x', ratio <= 5,
        f'{v["switch_ns"]:.0f} ns / {v["clock_ns"]:.0f} ns')
    row('waiting fiber, of 10,000', f'{v["park_bytes"] / 1024:.1f} KB',
        '8 KB', v['park_bytes'] <= 8192)
    row('handler on a fiber / on callbacks, CPU',
        f'{v["handler_ratio"]:.3f} x', '1.1 x', v['handler_ratio'] <= 1.1,
        f'{v["handler_fiber_ns"]:.0f} ns / {v["handler_callback_ns"]:.0f} ns')


def bench_plug():
    out = subprocess.run([BUILD / 'tests/bench/plug'], check=True,
                         capture_output=True, text=True).stdout
    v = values_of(out)
    over = v['tool_plugin_us'] - v['tool_direct_us']
    row('tool call through a plugin, over a direct one', f'{over:.2f} us',
        '2 us', over <= 2,
        f'{v["tool_plugin_us"]:.2f} us / {v["tool_direct_us"]:.2f} us')
    row('tool call through a process', f'{v["tool_process_us"]:.1f} us',
        '60 us', v['tool_process_us'] <= 60)


def bench_start():
    host = Host('start')
    host.sign_up('start@example.org')
    host.stop()
    times = []
    resident = 0
    for _ in range(7):
        host = Host('start')
        times.append(host.start_seconds)
        resident = max(resident, host.memory('Rss'))
        host.stop()
    median = sorted(times)[len(times) // 2]
    row('cold start to first 200', f'{median * 1000:.0f} ms', '250 ms',
        median <= 0.25, f'worst of 7: {max(times) * 1000:.0f} ms')
    row('idle resident memory', f'{resident / 2**20:.1f} MB', '20 MB',
        resident <= 20 * 2**20)


def fill(host):
    """Agents of many users; what wrk is to ask for."""
    say(f'making {options.agents} agents of {USERS} users')
    targets = []
    lock = threading.Lock()
    tokens = [host.sign_up(f'user{i}@example.org')['access_token']
              for i in range(USERS)]

    def work(part):
        c = http.client.HTTPConnection('127.0.0.1', host.port, timeout=60)
        for i in part:
            token = tokens[i % USERS]
            agent = request(host.port, 'POST', '/api/agents/', {
                'name': f'Agent {i}', 'system_prompt': 'Be brief. ' * 10,
                'toolkits': ['calculator']}, token, c)
            with lock:
                targets.append((token, f'/api/agents/{agent["id"]}/'))
        c.close()

    threads = [threading.Thread(target=work,
                                args=(range(n, options.agents, 16),))
               for n in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if len(targets) != options.agents:
        sys.exit('bench: some agents could not be made')
    return targets


def get_load(host, script):
    """CPU time of the host and of the database server for one request."""
    before = cpu_seconds(host.pid), cpu_seconds(POSTGRES_PID, True)
    n, rate = wrk(host.port, script, options.seconds)
    after = cpu_seconds(host.pid), cpu_seconds(POSTGRES_PID, True)
    return [(y - x) / n * 1e6 for x, y in zip(before, after)] + [rate]


def bench_get():
    for store, database in (('SQLite', None), ('PostgreSQL', POSTGRES)):
        host = Host(f'get-{store}', 'auth.signup=open',
                    'auth.attempts=1000', database=database)
        targets = fill(host)
        random.Random(1).shuffle(targets)
        script = wrk_script(f'get-{store}', targets)
        wrk(host.port, script, 2)
        (ours, theirs, rate), limit = nginx().beside(
            lambda: get_load(host, script))
        note = f'{ours:.1f} us CPU / {limit:.1f} us, {rate:.0f}/s'
        if database:
            note += f', the database server {theirs:.1f} us'
        row(f'GET agent, {store} / nginx', f'{ours / limit:.2f} x', '3 x',
            ours <= 3 * limit, note)
        host.stop()


def chat_host(name, stub_port, database=None, *more):
    return Host(name, 'auth.signup=open', 'auth.attempts=1000',
                f'plugins.llm_openai.base_url=http://127.0.0.1:{stub_port}/v1',
                'plugins.llm_openai.enabled=true',
                'plugins.llm_openai.api_key=env:BENCH_KEY',
                'plugins.llm_openai.default_model=stub',
                'models.default=openai/stub',
                'server.sockets_per_user=100000',
                'server.max_connections=20000', *more, database=database)


def threads_make(host, n):
    token = host.sign_up(f'chat{random.random()}@example.org')['access_token']
    agent = request(host.port, 'POST', '/api/agents/',
                    {'name': 'Stub', 'model_name': 'openai/stub'}, token)
    lines = []
    c = http.client.HTTPConnection('127.0.0.1', host.port, timeout=60)
    for _ in range(n):
        thread = request(host.port, 'POST', '/api/chat/sessions',
                         {'agent_id': agent['id']}, token, c)
        lines.append(f'{token} {thread["id"]}\n')
    c.close()
    return ''.join(lines)


def chat_load(host, lines, seconds, at_once):
    """What chat_load measured; the CPU time of the host and of the database
    server from the moment when all sockets listen to the end of the time."""
    load = start(BUILD / 'tests/bench/chat_load', 'run', host.port, seconds,
                 at_once, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                 text=True)
    load.stdin.write(lines)
    load.stdin.close()
    before = None
    text = ''
    for line in load.stdout:
        text += line
        now = cpu_seconds(host.pid), cpu_seconds(POSTGRES_PID, True)
        if line.startswith('ready'):
            before = now
        elif line.startswith('runs'):
            after = now
    if load.wait() != 0 or before is None:
        sys.exit('bench: chat_load failed; the host said:\n' +
                 pathlib.Path(host.log.name).read_text()[-2000:])
    children.remove(load)
    v = values_of(text)
    v['host_us'] = (after[0] - before[0]) / v['runs'] * 1e6
    v['database_us'] = (after[1] - before[1]) / v['runs'] * 1e6
    return v


def raw_sqlite(source):
    new = OUT / 'raw.db'
    out = subprocess.run([BUILD / 'tests/bench/raw_sqlite', source, new],
                         check=True, capture_output=True, text=True).stdout
    for path in OUT.glob('raw.db*'):
        path.unlink()
    return values_of(out)


def bench_chat():
    tps = pgbench_tps()
    for store, database in (('SQLite', None), ('PostgreSQL', POSTGRES)):
        stub, port = stub_model(0)
        host = chat_host(f'chat-{store}', port, database)
        chat_load(host, threads_make(host, 64), 1, 64)
        lines = threads_make(host, 2000)
        v, limit = nginx().beside(
            lambda: chat_load(host, lines, options.seconds, 64))
        ours = v['host_us']
        rate = v['runs'] / v['seconds']
        note = f'{ours:.0f} us CPU / {limit:.1f} us'
        if database:
            note += f', the database server {v["database_us"]:.0f} us'
        row(f'chat turn, 20 tokens, {store} / nginx', f'{ours / limit:.1f} x',
            '20 x', ours <= 20 * limit, note)
        host.stop()
        stop(stub)
        if database:
            row('chat turns, PostgreSQL / pgbench', f'{rate / tps:.2f} x',
                '0.3 x', rate >= 0.3 * tps, f'{rate:.0f} runs/s')
            continue
        raw = raw_sqlite(next(host.data.glob('*.db')))
        row('of these, the rows alone in a C loop / nginx',
            f'{raw["turn_cpu_us"] / limit:.1f} x',
            note=f'{raw["turn_cpu_us"]:.0f} us CPU')
        least = 0.3 * raw['turns_per_second']
        row('chat turns, SQLite / the same rows in a C loop',
            f'{rate / raw["turns_per_second"]:.2f} x', '0.3 x', rate >= least,
            f'{rate:.0f} runs/s / {raw["turns_per_second"]:.0f}, '
            f'{raw["rows_per_turn"]:.0f} rows a turn')


def pgbench_simple():
    """pgbench's own transaction without the two hot tables."""
    name = 'bench_simple'
    tool = pathlib.Path(PGBENCH)
    url = POSTGRES.replace('/test?', f'/{name}?')
    subprocess.run([tool.with_name('psql'), '-q', '-c',
                    f'CREATE DATABASE {name}', POSTGRES], check=True)
    subprocess.run([PGBENCH, '-i', '-q', '-s', '10', url], check=True,
                   capture_output=True)

    def run():
        out = subprocess.run(
            [PGBENCH, '-n', '-N', '-M', 'prepared', '-c', '8', '-j', '1', '-T',
             f'{options.seconds:.0f}', url], check=True, capture_output=True,
            text=True).stdout
        return next(float(line.split()[2]) for line in out.splitlines()
                    if line.startswith('tps'))
    return run


def run_load(what, url, at_once):
    out = subprocess.run([BUILD / 'tests/bench/run_load', what, url,
                          f'{options.seconds}', str(at_once)], check=True,
                         capture_output=True, text=True).stdout
    return values_of(out)


def hot_share():
    """Of the updates of runs since the last call, those that were HOT."""
    psql = pathlib.Path(PGBENCH).with_name('psql')
    time.sleep(1)  # what the server tells of itself comes late
    out = subprocess.run(
        [psql, '-Atc', "SELECT n_tup_upd, n_tup_hot_upd FROM "
         "pg_stat_user_tables WHERE relname = 'runs'", POSTGRES], check=True,
        capture_output=True, text=True).stdout
    updates, hot = (int(x) for x in out.strip().split('|'))
    before = hot_share.before
    hot_share.before = updates, hot
    return (hot - before[1]) / max(1, updates - before[0])


hot_share.before = (0, 0)


def bench_engine():
    """The engine's transactions without models, tools, or clients."""
    yardstick = pgbench_simple()
    tps = yardstick()
    psql = pathlib.Path(PGBENCH).with_name('psql')
    subprocess.run([psql, '-q', '-c', 'SET client_min_messages = error; '
                    'DROP SCHEMA public CASCADE; CREATE SCHEMA public',
                    POSTGRES], check=True)
    steps = run_load('steps', POSTGRES, 128)
    share = hot_share()
    runs = run_load('noop', POSTGRES, 64)
    tps = (tps + yardstick()) / 2
    row('pgbench -N, 8 clients', f'{tps:.0f} TPS')
    rate = steps['steps'] / steps['seconds']
    row('step commits, PostgreSQL / pgbench -N', f'{rate / tps:.2f} x',
        '2.0 x', rate >= 2.0 * tps, f'{rate:.0f}/s')
    rate = runs['runs'] / runs['seconds']
    row('runs of 3 steps, PostgreSQL / pgbench -N', f'{rate / tps:.2f} x',
        '0.3 x', rate >= 0.3 * tps, f'{rate:.0f}/s')
    p99 = runs['start_p99_ms']
    row('enqueue to start, PostgreSQL, p99', f'{p99:.1f} ms', '50 ms',
        p99 <= 50, '64 at once')
    row('updates of runs that are HOT', f'{share * 100:.1f} %', '95 %',
        share >= 0.95, '20 steps a run')
    path = OUT / 'steps.db'
    steps = run_load('steps', f'sqlite:{path}', 128)
    raw = raw_sqlite(path)
    rate = steps['steps'] / steps['seconds']
    least = raw['turns_per_second'] * steps['steps_per_run']
    row('step commits, SQLite / the same rows in a C loop',
        f'{rate / least:.2f} x', '0.6 x', rate >= 0.6 * least,
        f'{rate:.0f}/s / {least:.0f}/s')
    runs = run_load('noop', f'sqlite:{OUT / "noop.db"}', 64)
    p99 = runs['start_p99_ms']
    row('enqueue to start, SQLite, p99', f'{p99:.1f} ms', '50 ms', p99 <= 50,
        f'64 at once, {runs["runs"] / runs["seconds"]:.0f} runs/s')


class Worker:
    """One agent-studio worker on PostgreSQL."""

    def __init__(self, name, stub_port):
        self.log = open(OUT / f'{name}.log', 'ab')
        self.process = start(
            BUILD / 'agent-studio', 'worker', '--data', OUT / name, '--conf',
            CONF, '--set', 'log.level=warning', '--set',
            f'store.url={POSTGRES}', '--set',
            f'plugins.llm_openai.base_url=http://127.0.0.1:{stub_port}/v1',
            '--set', 'plugins.llm_openai.enabled=true', '--set',
            'plugins.llm_openai.api_key=env:BENCH_KEY',
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        ready = 'working as node epoch '
        line = next((x for x in self.process.stdout if x.startswith(ready)),
                    None)
        if line is None:
            sys.exit('bench: a worker ended')
        self.epoch = int(line[len(ready):])

    def kill(self, sig):
        self.process.send_signal(sig)

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        stop(self.process)
        self.log.close()


def one_value(sql):
    psql = pathlib.Path(PGBENCH).with_name('psql')
    return subprocess.run([psql, '-Atc', sql, POSTGRES], check=True,
                          capture_output=True, text=True).stdout.strip()


def takeover_seconds(host, stub_port, sig):
    """From the signal to the run's next claim."""
    workers = [Worker(f'worker-{i}', stub_port) for i in range(2)]
    line = threads_make(host, 1)
    token, thread = line.split()
    run = request(host.port, 'POST', f'/api/chat/sessions/{thread}',
                  {'content': 'wait'}, token)['run']['id']
    owner = f"SELECT owner_epoch FROM runs WHERE id = '{run}'"
    while not (epoch := one_value(owner)):
        time.sleep(0.02)
    time.sleep(1)  # anywhere between two beats
    begun = time.monotonic()
    next(w for w in workers if w.epoch == int(epoch)).kill(sig)
    while one_value(owner) in ('', epoch):
        time.sleep(0.02)
    seconds = time.monotonic() - begun
    request(host.port, 'POST', f'/api/runs/{run}/cancel', {}, token)
    for w in workers:
        w.stop()
    return seconds


def bench_takeover():
    stub, port = stub_model(3600000000)
    host = chat_host('takeover', port, POSTGRES, 'worker.embedded=false')
    for what, sig, limit in (('kill -9 of a worker', signal.SIGKILL, 3),
                             ('its silence', signal.SIGSTOP, 10)):
        worst = max(takeover_seconds(host, port, sig) for _ in range(3))
        row(f'takeover after {what}, worst of 3', f'{worst:.1f} s',
            f'{limit} s', worst <= limit)
    host.stop()
    stop(stub)


def connections_to(port):
    n = 0
    for line in pathlib.Path('/proc/net/tcp').read_text().splitlines()[1:]:
        local, state = line.split()[1], line.split()[3]
        n += local.endswith(f':{port:04X}') and state == '01'
    return n


def bench_parked():
    """Runs that wait for a slow model, in one process."""
    n = 10000
    stub, port = stub_model(3600000000)
    host = chat_host('parked', port, None, f'worker.slots={n}',
                     'server.loops=1', 'server.max_fibers=30000', 'models.call_timeout=1h',
                     'runs.max_wall=1h')
    lines = threads_make(host, n).split('\n')
    before = host.memory('Pss')
    c = http.client.HTTPConnection('127.0.0.1', host.port, timeout=60)
    for line in lines[:n]:
        token, thread = line.split()
        sent = request(host.port, 'POST', f'/api/chat/sessions/{thread}',
                       {'content': 'wait'}, token, c)
        assert sent['run']['status'] == 'running', sent
    c.close()
    deadline = time.monotonic() + 60
    while connections_to(port) < n and time.monotonic() < deadline:
        time.sleep(0.1)
    waiting = connections_to(port)
    each = (host.memory('Pss') - before) / n
    row(f'a run that waits for its model, of {waiting:,}, PSS',
        f'{each / 1024:.1f} KB', '64 KB',
        each <= 64 * 1024 and waiting >= n)
    host.process.kill()
    host.stop()
    stop(stub)


def bench_token():
    for store, database in (('SQLite', None), ('PostgreSQL', POSTGRES)):
        stub, port = stub_model(20000)
        host = chat_host(f'token-{store}', port, database)
        lines = threads_make(host, 400)
        v = chat_load(host, lines, max(options.seconds, 3), 16)
        host.stop()
        stop(stub)
        p99 = v['first_token_p99_ms']
        row(f'first token, 16 streams, {store}, p99', f'{p99:.2f} ms', '5 ms',
            p99 <= 5, f'p50 {v["first_token_p50_ms"]:.2f} ms, '
            f'{v["first_tokens"]:.0f} runs')


def run_events(host, token, run, until, c):
    """Waits for an event of the run, from its first one on."""
    after = 0
    while True:
        path = f'/api/runs/{run}/events?wait=20&after={after}'
        for event in request(host.port, 'GET', path, None, token, c)['items']:
            after = event['run_seq']
            if until(event):
                return event


def respond_once(host, token, agent, c):
    """Milliseconds from an approval to the result of the call."""
    def post(path, body):
        return request(host.port, 'POST', path, body, token, c)

    thread = post('/api/chat/sessions', {'agent_id': agent})
    run = post(f'/api/chat/sessions/{thread["id"]}',
               {'content': 'add it up'})['run']['id']
    run_events(host, token, run,
               lambda e: e.get('state') == 'waiting_human', c)
    item = request(host.port, 'GET', f'/api/inbox/?run_id={run}', None, token,
                   c)['items'][0]
    begin = time.monotonic()
    post(f'/api/inbox/{item["id"]}/respond', {'type': 'accept'})
    run_events(host, token, run, lambda e: e['type'] == 'tool_result', c)
    return (time.monotonic() - begin) * 1000


def bench_respond():
    """From a person's answer to the step that it resumes, with free slots."""
    script = OUT / 'respond.json'
    script.write_text(json.dumps([
        {'match': 'add it up', 'tool_calls': [
            {'name': 'calculator_evaluate', 'args': {'expression': '2+2'}}]},
        {'match': 'add it up', 'text': 'It is four.'}]))
    for store, database in (('SQLite', None), ('PostgreSQL', POSTGRES)):
        host = Host(f'respond-{store.lower()}', 'auth.signup=open',
                    'plugins.llm_demo.enabled=true',
                    f'plugins.llm_demo.script={script}',
                    'plugins.toolkit_calculator.enabled=true',
                    'models.default=demo/demo', database=database)
        token = host.sign_up(f'ask{random.random()}@example.org')[
            'access_token']
        agent = request(host.port, 'POST', '/api/agents/', {
            'name': 'Careful', 'toolkits': ['calculator'],
            'approval': {'default': 'always'}}, token)['id']
        c = http.client.HTTPConnection('127.0.0.1', host.port, timeout=60)
        times = []
        end = time.monotonic() + max(options.seconds, 3)
        while time.monotonic() < end or len(times) < 100:
            times.append(respond_once(host, token, agent, c))
        c.close()
        host.stop()
        times.sort()
        p99 = times[int(len(times) * 0.99)]
        row(f'answer to resumed step, {store}, p99', f'{p99:.1f} ms', '100 ms',
            p99 <= 100, f'p50 {times[len(times) // 2]:.1f} ms, '
            f'{len(times)} answers')


def bench_sockets():
    n = 5000
    stub, port = stub_model(0)
    host = chat_host('sockets', port)
    lines = threads_make(host, 1) * n
    # What the first ones need once is not theirs.
    warm = start(BUILD / 'tests/bench/chat_load', 'idle', host.port,
                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    warm.stdin.write(lines[:len(lines) // n * 50])
    warm.stdin.close()
    warm.stdout.readline()
    before = host.memory('Pss')
    load = start(BUILD / 'tests/bench/chat_load', 'idle', host.port,
                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    load.stdin.write(lines)
    load.stdin.close()
    opened = load.stdout.readline().split()
    if not opened or int(opened[1]) != n:
        sys.exit('bench: the sockets could not be opened')
    time.sleep(2)  # fibers that have ended give their stacks back
    each = (host.memory('Pss') - before) / n
    row('idle WebSocket, of 5,000, PSS', f'{each / 1024:.2f} KB', '5 KB',
        each <= 5 * 1024)
    stop(load)
    stop(warm)
    host.stop()
    stop(stub)


def overload_rows(store, url):
    env = dict(os.environ, AGENT_STUDIO=str(BUILD / 'agent-studio'),
               AGENT_STUDIO_CONF=CONF)
    if url:
        env.update(AGENT_STUDIO_STORE='postgres', TEST_POSTGRES_URL=url)
    program = pathlib.Path(__file__).with_name('overload.mjs')
    text = subprocess.run(['node', program, str(max(options.seconds * 4, 20))],
                          env=env, check=True, stdout=subprocess.PIPE,
                          text=True).stdout
    for what, value, limit, good in json.loads(text):
        row(f'{what}, {store}', value, limit, good if limit else None,
            '4 x standard, 5 % priority' if limit else '')


def waiting_memory(store, url):
    """What the host keeps of a request that waits: its rows are elsewhere.

    As many wait before, so that SQLite's caches of pages, which have a size
    of their own, are full.
    """
    n = warm = 10000
    stub, port = stub_model(3600000000)
    host = chat_host(f'queue-{store}', port, url, 'worker.slots=1',
                     'server.loops=1', f'queue.max_tenant={n + warm}')
    token = host.sign_up(f'q{random.random()}@example.org')['access_token']
    agent = request(host.port, 'POST', '/api/agents/',
                    {'name': 'Stub', 'model_name': 'openai/stub'}, token)
    c = http.client.HTTPConnection('127.0.0.1', host.port, timeout=60)
    for i in range(warm + n):
        if i == warm:
            before = host.memory('Pss')
        request(host.port, 'POST', f'/api/agents/{agent["id"]}/ambient-test',
                {'task': 'wait'}, token, c)
    each = (host.memory('Pss') - before) / n
    c.close()
    row(f'a request that waits, of {n:,}, {store}, PSS', f'{each:.0f} B',
        '512 B', each <= 512)
    host.process.kill()
    host.stop()
    stop(stub)


def bench_queue():
    for store, url in (('SQLite', None), ('PostgreSQL', POSTGRES)):
        overload_rows(store, url)
        waiting_memory(store, url)


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        for name in NAMES:
            if name in chosen:
                say(name)
                globals()[f'bench_{name}']()
    finally:
        for child in list(children):
            stop(child)
    print(f'{"":48}{"measured":>14}{"limit":>10}')
    for what, value, limit, good, note in rows:
        verdict = '' if good is None else 'ok' if good else 'MISSED'
        print(f'{what:48}{value:>14}{limit:>10}  {verdict:7}{note}')
    missed = sum(1 for r in rows if r[3] is False)
    print(f'{missed} missed' if missed else 'every limit is met')
    return 1 if missed else 0


sys.exit(main())
