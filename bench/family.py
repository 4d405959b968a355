"""The processes of one peer, whichever way it forks: their processor time, their memory, their end.

As root a peer runs in a control group (version 2) of its own, which counts exactly and which no process leaves by
accident. Without one, the family is the session that the first process leads and everything descended from it; its
times then come in clock ticks, and a process that ends in the middle is counted once it has been waited for.
"""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'tests', 'peers'))

from leash import Leash  # noqa: E402

TICKS_PER_S = os.sysconf('SC_CLK_TCK')
END_LIMIT_S = 20


def control_group_root():
    """This process's own group in the hierarchy of version 2; None if there is none to write in."""
    mount = own = None
    with open('/proc/self/mountinfo') as f:
        for line in f:
            fields = line.split()
            if fields[fields.index('-') + 1] == 'cgroup2':
                mount = fields[4]
    with open('/proc/self/cgroup') as f:
        for line in f:
            if line.startswith('0::'):
                own = line.strip()[3:]
    if mount is None or own is None:
        return None
    path = mount + own.rstrip('/')
    return path if os.access(path, os.W_OK) else None


def parents():
    """{pid: (parent, session, utime + stime + those of its dead children, in ticks)} of every process."""
    found = {}
    for name in os.listdir('/proc'):
        if not name.isdigit():
            continue
        try:
            with open(f'/proc/{name}/stat') as f:
                fields = f.read().rpartition(')')[2].split()
        except OSError:
            continue
        found[int(name)] = (int(fields[1]), int(fields[3]), sum(int(x) for x in fields[11:15]))
    return found


class Family:
    """Starts a command and knows all that comes of it."""

    def __init__(self, name):
        self.child = self.leash = None
        self.group = None
        root = control_group_root()
        if root:
            group = os.path.join(root, f'bench-{os.getpid()}-{name}')
            try:
                os.mkdir(group)
                if os.path.exists(os.path.join(group, 'cpu.stat')):
                    self.group = group
                else:
                    os.rmdir(group)
            except OSError:
                pass

    def start(self, command, env, output):
        """Runs the command in a session of its own; it gets SIGTERM should this process die first."""
        if self.group:
            command = ['sh', '-c', 'echo $$ >"$0" && exec "$@"', os.path.join(self.group, 'cgroup.procs'), *command]
        with open(output, 'ab') as f:
            self.child = subprocess.Popen(command, env=env, cwd='/', stdin=subprocess.DEVNULL, stdout=f, stderr=f,
                                          start_new_session=True)
        self.leash = Leash(self.child.pid)

    def pids(self):
        if self.group:
            with open(os.path.join(self.group, 'cgroup.procs')) as f:
                return [int(line) for line in f]
        return list(self.members())

    def members(self):
        """Without a control group: {pid: ticks}."""
        processes = parents()
        members = {pid for pid, (_, session, _) in processes.items() if session == self.child.pid}
        grown = True
        while grown:
            more = {pid for pid, (parent, _, _) in processes.items() if parent in members} - members
            members |= more
            grown = bool(more)
        return {pid: processes[pid][2] for pid in members}

    def cpu_s(self):
        """Seconds of processor time, user and system, of all processes so far."""
        if not self.group:
            return sum(self.members().values()) / TICKS_PER_S
        with open(os.path.join(self.group, 'cpu.stat')) as f:
            return int(dict(line.split() for line in f)['usage_usec']) / 1e6

    def pss_kb(self):
        """Memory: what is shared with others counts in parts."""
        total = 0
        for pid in self.pids():
            try:
                with open(f'/proc/{pid}/smaps_rollup') as f:
                    total += sum(int(line.split()[1]) for line in f if line.startswith('Pss:'))
            except OSError:
                pass  # it ended, or is not ours to look at
        return total

    def signal(self, number):
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def wait_gone(self, limit_s):
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            self.child.poll()
            if not self.pids():
                return True
            time.sleep(0.02)
        return False

    def stop(self):
        """SIGTERM to the first process; whatever is left after a while is killed. True if that was not needed."""
        clean = True
        if self.child:
            self.leash.release()
            if self.child.poll() is None:
                self.child.send_signal(signal.SIGTERM)
            clean = self.wait_gone(END_LIMIT_S)
            if not clean:
                self.signal(signal.SIGKILL)
                self.wait_gone(END_LIMIT_S)
            self.child.wait()
            self.child = self.leash = None
        if self.group:
            os.rmdir(self.group)
            self.group = None
        return clean
