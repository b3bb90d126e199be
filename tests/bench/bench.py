#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The measurements of script/bench, which builds and starts what they need.

Every limit is a ratio against a yardstick measured in the same run, or an
absolute number of the design.  CPU time is that of a process with all its
threads, from /proc, over requests that were answered.
"""
from tools import *
from plane import *
from abuse import *

NAMES = ['fiber', 'plug', 'start', 'get', 'chat', 'engine', 'takeover', 'parked',
         'token', 'respond', 'queue',
         'bus', 'fanout', 'latency', 'sockets', 'many', 'nodes', 'reconnect',
         'abuse']
for name in options.names:
    if name not in NAMES:
        sys.exit(f'bench: unknown name {name}; there are {" ".join(NAMES)}')
chosen = options.names or NAMES


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

    together(work, [range(n, options.agents, 16) for n in range(16)])
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
        chat_load([host], threads_make(host, 64), 1, 64)
        lines = threads_make(host, 2000)
        v, limit = nginx().beside(
            lambda: chat_load([host], lines, options.seconds, 64))
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
        v = chat_load([host], lines, max(options.seconds, 3), 16)
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
