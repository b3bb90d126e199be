#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A service manager as sd_listen_fds(3) and sd_notify(3) have it: holds a
listening socket, hands it to the processes it starts, prints what they tell.

usage: manager.py HOST PROGRAM ARGUMENT...

The socket blocks from the moment that one of them is ready, as it may whenever
a manager hands it to another one.

Prints `port N`.  Commands are lines of standard input: `start`, answered with
`started PID`.  What a process tells is printed as `told PID TEXT`, its end as
`exited PID STATUS`.  The processes' own output goes to standard error.  Ends,
and ends them, with its input.
"""
import os
import selectors
import signal
import socket
import struct
import sys
import tempfile

FIRST_FD = 3


def say(*words):
    print(*words, flush=True)


def start(listener, notify_path):
    pid = os.fork()
    if pid != 0:
        return pid
    os.dup2(listener.fileno(), FIRST_FD)
    os.dup2(2, 1)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1',
                      NOTIFY_SOCKET=notify_path)
    os.execvp(sys.argv[2], sys.argv[2:])


def hear(notify, listener):
    size = socket.CMSG_SPACE(struct.calcsize('3i'))
    text, control, _, _ = notify.recvmsg(4096, size)
    pid = struct.unpack('3i', control[0][2])[0]
    if text.startswith(b'READY=1'):
        listener.setblocking(True)
    say('told', pid, text.decode().replace('\n', ' '))


def main():
    listener = socket.create_server((sys.argv[1], 0), backlog=4096)
    os.dup2(listener.fileno(), 20, inheritable=False)  # not where the children expect it
    listener = socket.socket(fileno=20)
    selector = selectors.DefaultSelector()
    alive = {}
    with tempfile.TemporaryDirectory() as folder:
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(folder + '/notify')
        notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        selector.register(notify, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        say('port', listener.getsockname()[1])
        while True:
            for key, _ in selector.select():
                if key.fileobj is notify:
                    hear(notify, listener)
                elif key.fileobj == 0:
                    if not sys.stdin.buffer.raw.readline():
                        for pid in alive.values():
                            os.kill(pid, signal.SIGKILL)
                        return
                    pid = start(listener, notify.getsockname())
                    fd = os.pidfd_open(pid)
                    alive[fd] = pid
                    selector.register(fd, selectors.EVENT_READ)
                    say('started', pid)
                else:
                    pid = alive.pop(key.fd)
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    status = os.waitpid(pid, 0)[1]
                    say('exited', pid, os.waitstatus_to_exitcode(status))


main()
