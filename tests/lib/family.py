"""Processes as /proc shows them: which belong to a server, what role each plays, what it uses."""
import os
import re


class Process:
    """One process, told from a later one with the same number by its start time."""

    def __init__(self, pid):
        with open(f'/proc/{pid}/stat', 'rb') as file:
            text = file.read().decode('utf-8', 'replace')
        name_end = text.rindex(')')
        fields = text[name_end + 2:].split()
        self.pid = pid
        self.name = text[text.index('(') + 1:name_end]
        self.state = fields[0]
        self.parent = int(fields[1])
        self.session = int(fields[3])
        self.cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')
        self.threads = int(fields[17])
        self.started = int(fields[19])

    @property
    def key(self):
        return self.pid, self.started

    def argv0(self):
        try:
            with open(f'/proc/{self.pid}/cmdline', 'rb') as file:
                return os.path.basename(file.read().split(b'\0')[0].decode('utf-8', 'replace'))
        except OSError:
            return ''

    def role(self):
        """session, queue, deliver ... from a name like veredus-session; '' when it has none."""
        for name in (self.argv0(), self.name):
            found = re.match(r'veredus-([a-z]+)', name)
            if found and found.group(1) not in ('core', 'single'):
                return found.group(1)
        return ''


def everybody():
    """Every process that is alive. One that nobody has reaped yet is not, unless a thread of it is still on its way out of a system call:
    that one holds files and locks."""
    found = {}
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            try:
                process = Process(int(entry))
            except (FileNotFoundError, ProcessLookupError):
                continue
            if process.state not in 'ZX' or process.threads > 1:
                found[process.pid] = process
    return found


def descendants(pid, session, known=()):
    """`pid`, all that it started, all of the session it leads, and those of `known` (keys seen earlier) that still live."""
    alive = everybody()
    children = {}
    for process in alive.values():
        children.setdefault(process.parent, []).append(process.pid)
    todo = [p.pid for p in alive.values() if p.pid == pid or p.session == session or p.key in known]
    family = {}
    while todo:
        number = todo.pop()
        if number not in family:
            family[number] = alive[number]
            todo += children.get(number, [])
    return family
