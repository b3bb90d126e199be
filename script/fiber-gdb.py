# SPDX-License-Identifier: Apache-2.0
"""Fibers in gdb, of a running process or of a core file.

    gdb -x script/fiber-gdb.py -p PID

    fibers                  every fiber that has not ended, all loops
    fiber-bt N [ARG ...]    backtrace of fiber N, with the arguments of "bt"
    fiber-bt all [ARG ...]  of all
    plugin-symbols          of the plugins that are mapped; the others do it, too

A parked fiber has no thread, so gdb does not know its stack.  For the time of
one backtrace an unwinder pretends that the innermost frame was called from
where the fiber left; no register is written, hence core files work as well.
gcore cannot read past a light guard: let the kernel write the core, or start
the process with FIBER_MPROTECT=1.
"""

import gdb
from gdb.unwinder import Unwinder

IDLE, READY, RUNNING, PARKED = 1, 2, 3, 4
STATES = {READY: 'ready', RUNNING: 'running', PARKED: 'parked'}
# What core/loop/switch.c pushes, from the stack pointer upwards.
PUSHED = ('r15', 'r14', 'r13', 'r12', 'rbx', 'rbp', 'rip')
# Indexes into gregs of <sys/ucontext.h>.
GREGS = {'r12': 4, 'r13': 5, 'r14': 6, 'r15': 7, 'rbp': 10, 'rbx': 11,
         'rsp': 15, 'rip': 16}


def chain(first, link):
    while int(first):
        yield first
        first = first[link]


def fibers():
    """Numbered from 0, in the order of their creation."""
    loops = gdb.parse_and_eval("'loop.c'::loops")
    found = [f for loop in chain(loops, 'list')
             for f in chain(loop['all'], 'all') if int(f['state']) != IDLE]
    return list(enumerate(reversed(found)))


LOADED = set()


def plugin_symbols():
    """A plugin is mapped from a copy without a name: read the file itself."""
    first = gdb.lookup_static_symbol('mapped')
    maps = gdb.lookup_type('struct link_map').pointer()
    for f in chain(first.value(), 'list') if first else ():
        path, base = f['path'].string(), int(f['handle'].cast(maps)['l_addr'])
        if (path, base) not in LOADED:
            LOADED.add((path, base))
            gdb.execute(f'add-symbol-file {path} -o {base:#x}', to_string=True)


def registers(fiber):
    """The registers as they will be when the switch has returned."""
    ctx = fiber['ctx']
    if any(field.name == 'uc' for field in ctx.type.fields()):
        gregs = ctx['uc']['uc_mcontext']['gregs']
        return {name: int(gregs[i]) for name, i in GREGS.items()}
    words = ctx['sp'].cast(gdb.lookup_type('unsigned long').pointer())
    regs = {name: int(words[1 + i]) for i, name in enumerate(PUSHED)}
    regs['rsp'] = int(ctx['sp']) + 8 * (1 + len(PUSHED))
    return regs


class FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class FiberUnwinder(Unwinder):
    def __init__(self):
        super().__init__('fiber')
        self.at = None
        self.regs = None

    def __call__(self, frame):
        if self.regs is None or int(frame.read_register('rsp')) != self.at:
            return None
        info = frame.create_unwind_info(
            FrameId(frame.read_register('rsp'), frame.read_register('rip')))
        word = gdb.lookup_type('unsigned long')
        for name, value in self.regs.items():
            info.add_saved_register(name, gdb.Value(value).cast(word))
        return info

    def backtrace(self, fiber, args):
        self.at = int(gdb.newest_frame().read_register('rsp'))
        self.regs = registers(fiber)
        gdb.invalidate_cached_frames()
        try:
            text = gdb.execute('bt ' + args, to_string=True)
        finally:
            self.regs = None
            gdb.invalidate_cached_frames()
        print('\n'.join(text.splitlines()[1:]))


UNWINDER = FiberUnwinder()
gdb.unwinder.register_unwinder(None, UNWINDER, True)


def describe(number, fiber):
    state, until = int(fiber['state']), int(fiber['wait_until'])
    text = f"{number:4} {STATES[state]:8} {fiber['name'].string():28}"
    if state == PARKED and until:
        left = max(0, until - int(fiber['loop']['now_ms']))
        text += f' {left / 1000:.1f} s at most'
    return text.rstrip()


class Fibers(gdb.Command):
    """fibers: list the fibers that have not ended."""

    def __init__(self):
        super().__init__('fibers', gdb.COMMAND_STACK)

    def invoke(self, arg, from_tty):
        plugin_symbols()
        for number, fiber in fibers():
            print(describe(number, fiber))


class FiberBacktrace(gdb.Command):
    """fiber-bt N|all [ARG ...]: backtrace of a fiber that does not run."""

    def __init__(self):
        super().__init__('fiber-bt', gdb.COMMAND_STACK)

    def invoke(self, arg, from_tty):
        plugin_symbols()
        args = arg.split() or ['all']
        for number, fiber in fibers():
            if args[0] not in ('all', str(number)):
                continue
            print(describe(number, fiber))
            if int(fiber['state']) == RUNNING:
                print('runs on a thread: see "thread apply all bt"')
            else:
                UNWINDER.backtrace(fiber, ' '.join(args[1:]))


class PluginSymbols(gdb.Command):
    """plugin-symbols: read those of the plugins that are mapped."""

    def __init__(self):
        super().__init__('plugin-symbols', gdb.COMMAND_FILES)

    def invoke(self, arg, from_tty):
        plugin_symbols()


Fibers()
FiberBacktrace()
PluginSymbols()
