# SPDX-License-Identifier: Apache-2.0
"""What the measurements share: options, the table, processes, yardsticks."""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import random
import resource
import shutil
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
CPUCLOCK_SCHED = 2  # CPU clock of a process, from uapi linux/posix-timers
USERS = 100
CONNECTIONS = 32

parser = argparse.ArgumentParser(add_help=False)
parser.add_argument('--seconds', type=float, default=5)
parser.add_argument('--agents', type=int, default=10000)
parser.add_argument('names', nargs='*')
options = parser.parse_args()
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
    """Of all threads, to the nanosecond; of a tree also of who has ended."""
    total = 0
    for one in tree_of(pid) if tree else [pid]:
        with contextlib.suppress(OSError):
            total += time.clock_gettime(~one << 3 | CPUCLOCK_SCHED)
            if tree:
                stat = pathlib.Path(f'/proc/{one}/stat').read_text()
                fields = stat.rpartition(')')[2].split()
                total += sum(map(int, fields[13:15])) / TICK
    return total


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

    def __init__(self, name, *settings, database=None, keys_of=None):
        self.data = OUT / name
        self.data.mkdir(exist_ok=True)
        for key in ('access.key', 'sealing.key') if keys_of else ():
            shutil.copy(keys_of.data / key, self.data / key)
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


def stub_model(*arguments):
    child = start(BUILD / 'tests/bench/stub_model', *arguments,
                  stdout=subprocess.PIPE, text=True)
    return child, int(child.stdout.readline().split()[1])


def together(work, parts):
    """Each part on a thread of its own: writes share commits."""
    threads = [threading.Thread(target=work, args=(part,)) for part in parts]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


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


def nginx_start(head, body, name='nginx'):
    """nginx that answers what the host answered: same size, same headers."""
    port = free_port()
    own = {'content-type', 'content-length', 'date', 'server', 'connection'}
    headers = [line.split(': ', 1) for line in head.split('\r\n')[1:]]
    quote = lambda s: "'" + s.replace('\\', '\\\\').replace("'", "\\'") + "'"
    more = '\n'.join(f'add_header {name} {quote(value)};'
                     for name, value in headers if name.lower() not in own)
    folder = OUT / name
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


# ---- chats ------------------------------------------------------------------

def model_settings(stub_port):
    return [f'plugins.llm_openai.base_url=http://127.0.0.1:{stub_port}/v1',
            'plugins.llm_openai.enabled=true',
            'plugins.llm_openai.api_key=env:BENCH_KEY',
            'plugins.llm_openai.default_model=stub',
            'models.default=openai/stub']


def chat_host(name, stub_port, database=None, *more, keys_of=None):
    return Host(name, 'auth.signup=open', 'auth.attempts=1000',
                *model_settings(stub_port), 'server.sockets_per_user=100000',
                'server.max_connections=20000', *more, database=database,
                keys_of=keys_of)


def threads_make(host, n):
    token = host.sign_up(f'chat{random.random()}@example.org')['access_token']
    agent = request(host.port, 'POST', '/api/agents/',
                    {'name': 'Stub', 'model_name': 'openai/stub'}, token)
    lines = []

    def work(count):
        c = http.client.HTTPConnection('127.0.0.1', host.port, timeout=60)
        for _ in range(count):
            thread = request(host.port, 'POST', '/api/chat/sessions',
                             {'agent_id': agent['id']}, token, c)
            lines.append(f'{token} {thread["id"]}\n')
        c.close()

    together(work, [n // 8 + (i < n % 8) for i in range(8)])
    if len(lines) != n:
        sys.exit('bench: some threads could not be made')
    return ''.join(lines)


def chat_load(hosts, lines, seconds, how_many, mode='run', other=()):
    """What chat_load measured; the CPU time of the hosts, with other processes
    of theirs, and of the database server from the moment when all sockets
    listen to the end of the time."""
    pids = [host.pid for host in hosts] + list(other)
    load = start(BUILD / 'tests/bench/chat_load', mode,
                 ','.join(str(host.port) for host in hosts), seconds, how_many,
                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    load.stdin.write(lines)
    load.stdin.close()
    before = None
    text = ''
    for line in load.stdout:
        text += line
        now = (sum(map(cpu_seconds, pids)), cpu_seconds(POSTGRES_PID, True))
        if line.startswith('ready'):
            before = now
        elif line.startswith('runs'):
            after = now
    if load.wait() != 0 or before is None:
        sys.exit('bench: chat_load failed; a host said:\n' +
                 pathlib.Path(hosts[0].log.name).read_text()[-2000:])
    children.remove(load)
    v = values_of(text)
    v['host_us'] = (after[0] - before[0]) / v['runs'] * 1e6
    v['database_us'] = (after[1] - before[1]) / v['runs'] * 1e6
    return v


class Worker:
    """One agent-studio worker on PostgreSQL."""

    def __init__(self, name, stub_port, *settings, database=POSTGRES):
        self.log = open(OUT / f'{name}.log', 'ab')
        command = [BUILD / 'agent-studio', 'worker', '--data', OUT / name,
                   '--conf', CONF]
        for setting in ('log.level=warning', f'store.url={database}',
                        *model_settings(stub_port), *settings):
            command += ['--set', setting]
        self.process = start(*command, stdout=subprocess.PIPE,
                             stderr=self.log, text=True)
        ready = 'working as node epoch '
        line = next((x for x in self.process.stdout if x.startswith(ready)),
                    None)
        if line is None:
            sys.exit('bench: a worker ended')
        self.epoch = int(line[len(ready):])

    @property
    def pid(self):
        return self.process.pid

    def kill(self, sig):
        self.process.send_signal(sig)

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        stop(self.process)
        self.log.close()
