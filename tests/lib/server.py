"""A Veredus server in a folder of its own: configuration, start, what it prints, its processes, stop, kill.

    with Server() as server:
        server.start()
        ... server.address, server.mailbox('user@local.test'), server.kill('queue') ...
        server.stop()                 # judges the end: exit code 0, nobody of the family left

Run by root the server changes to the user `nobody`; run by anybody else it stays that user.
"""
import json
import os
import pwd
import queue
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import family
import maildir
from tap import Failure, check

START_S = 20
STOP_S = 10
ALIASES = 'team: user, second, USER@local.test, sink@sink.test\naway: somebody@foreign.test\n'
NAMED_BLOCKS = ('listen', 'certificate', 'dkim', 'domain', 'route')
ACCOUNTS = ('user', 'second', 'postmaster') + tuple(f'user{n}' for n in range(20))


def base_configuration(folder, hostname='mx.veredus.test'):
    lines = {
        'hostname': f'hostname {hostname}',
        'spool': f'spool {folder}/spool',
        'control': f'control {folder}/control',
        'listen mx': 'listen mx { address 127.0.0.1:0  role mx }',
        'domain local.test': f'domain local.test {{ accounts file {folder}/accounts  mailbox maildir {folder}/mail/{{domain}}/{{user}} }}',
        'route sink.test': 'route sink.test { to discard }',
        'route held.test': 'route held.test { to hold }',
        'retry': 'retry { first 1s  max 2s  expire 1h }',
    }
    if os.getuid() == 0:
        lines['user'] = 'user nobody'
    return lines


def directive_key(line):
    words = line.split()
    return ' '.join(words[:2]) if words[0] in NAMED_BLOCKS else words[0]


class Server:
    def __init__(self, configuration=(), folder=None, build=None, sandbox=False, prefix=(), accounts=ACCOUNTS, environment=None):
        """`configuration`: lines that replace or extend the usual ones. `prefix`: a command that runs the server (strace ...)."""
        self.build = os.path.abspath(build or os.environ['VEREDUS_BUILD'])
        self.folder = folder or tempfile.mkdtemp(prefix='veredus-test-')
        self.sandbox = sandbox
        self.prefix = list(prefix)
        self.environment = dict(os.environ, **(environment or {}))
        self.mail = os.path.join(self.folder, 'mail')
        self.configuration = os.path.join(self.folder, 'veredus.conf')
        self.child = None
        self.exit_code = None
        self.pid = 0
        self.known = set()
        self.address = None
        self.events = []
        self._lines = queue.Queue()
        self._set_up(configuration, accounts)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.destroy()
        if kind is None:
            maildir.remove([path for _, box in self.mailboxes() for path in box.files()])
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f'# kept: {self.folder}', flush=True)

    def _set_up(self, configuration, accounts):
        lines = base_configuration(self.folder)
        for line in configuration:
            lines[directive_key(line)] = line
        self._write(self.configuration, ''.join(line.replace('{folder}', self.folder) + '\n' for line in lines.values()))
        self._write(os.path.join(self.folder, 'accounts'), ''.join(name + '\n' for name in accounts))
        self._write(os.path.join(self.folder, 'aliases'), ALIASES)
        os.chmod(self.folder, 0o755)
        for name in ('mail', 'spool') if self.sandbox else ('', 'mail', 'spool'):  # a sandbox trusts no folder below somebody else's
            self.give(os.path.join(self.folder, name))

    @staticmethod
    def _write(path, text):
        with open(path, 'w') as file:
            file.write(text)

    @staticmethod
    def give(folder):
        """Makes a folder, if need be, that the server's user can write to."""
        os.makedirs(folder, exist_ok=True)
        if os.getuid() == 0:
            user = pwd.getpwnam('nobody')
            os.chown(folder, user.pw_uid, user.pw_gid)

    # -- start

    def command(self):
        program = os.path.join(self.build, 'veredus')
        if self.sandbox:
            return [program, 'sandbox', '--dir', os.path.join(self.folder, 'sandbox'), '--smtp', '127.0.0.1:0']
        return [program, 'serve', '-c', self.configuration]

    def start(self):
        """Starts (again, on the same folder) and waits for the address it listens on."""
        self._lines = queue.Queue()
        self.address = None
        with open(os.path.join(self.folder, 'stderr'), 'ab') as stderr:
            self.child = subprocess.Popen(self.prefix + self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
                                          start_new_session=True, env=self.environment, cwd=self.folder)
        threading.Thread(target=self._collect, args=(self.child.stdout, self._lines), daemon=True).start()
        deadline = time.monotonic() + START_S
        while self.address is None:
            line = self._next_line(deadline)
            if line is None:
                self.wait_gone(1)
                self.destroy()
                raise Failure(f'the server did not say where it listens\n{self.stderr()}')
            found = re.match(r'listening smtp (.*):(\d+)$', line)
            if found:
                self.address = found.group(1).strip('[]'), int(found.group(2))
        self.pid = self._find_root()
        self.family()
        return self

    def _collect(self, stdout, lines):
        for line in stdout:
            text = line.decode('utf-8', 'replace').rstrip('\n')
            self.events.append(text)
            lines.put(text)
        lines.put(None)

    def _next_line(self, deadline):
        try:
            return self._lines.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            return None

    def _find_root(self):
        """The child itself, or under a prefix the one process that it runs."""
        if not self.prefix:
            return self.child.pid
        return min(p.pid for p in family.everybody().values() if p.parent == self.child.pid)

    # -- what it does

    def stderr(self):
        with open(os.path.join(self.folder, 'stderr'), 'r', errors='replace') as file:
            return file.read()[-6000:]

    def delivered(self):
        """Paths of the `delivered` events so far."""
        return [line.split(' ', 1)[1] for line in list(self.events) if line.startswith('delivered ')]

    def queued(self):
        """What `veredus queue list` tells, a dictionary a message."""
        done = subprocess.run([os.path.join(self.build, 'veredus'), 'queue', 'list', '--json', '-c', self.configuration],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        check(done.returncode == 0, f'queue list: exit code {done.returncode}\n{done.stderr.decode()}')
        return [json.loads(line) for line in done.stdout.splitlines()]

    @staticmethod
    def wait_until(condition, seconds, why):
        """Waits for a condition; a Failure in it counts as not yet. `why()` says what is wrong at the end."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if condition():
                    return
            except Failure:
                if time.monotonic() > deadline:
                    raise
            if time.monotonic() > deadline:
                raise Failure(why())
            time.sleep(0.05)

    def mailbox(self, address):
        local, domain = address.rsplit('@', 1)
        return maildir.Maildir(os.path.join(self.mail, domain, local))

    def mailboxes(self):
        for domain in sorted(os.listdir(self.mail)):
            for local in sorted(os.listdir(os.path.join(self.mail, domain))):
                yield f'{local}@{domain}', maildir.Maildir(os.path.join(self.mail, domain, local))

    # -- its processes

    def family(self):
        """Living processes by pid; each is remembered, so that one which loses its parent stays known."""
        if self.child is None:
            return {}
        leader = self.child.pid
        found = family.descendants(leader, leader, self.known)
        if self.prefix:
            found.pop(leader, None)
        self.known |= {process.key for process in found.values()}
        return found

    def roles(self):
        """Living processes by role; the process that was started is `root`."""
        roles = {}
        for process in self.family().values():
            role = 'root' if process.pid == self.pid else process.role()
            roles.setdefault(role, []).append(process)
        return roles

    def check_unharmed(self, before):
        """Nobody of `before` (a family) has died since."""
        alive = {process.key for process in self.family().values()}
        lost = [f'{p.role() or p.name} {p.pid}' for p in before.values() if p.key not in alive]
        check(not lost, f'died: {", ".join(lost)}\n{self.stderr()}')

    def kill(self, role, number=signal.SIGKILL):
        """Kills every process of a role; `all` is everybody at once. Who was killed."""
        victims = list(self.family().values()) if role == 'all' else self.roles().get(role, [])
        for process in victims:
            try:
                os.kill(process.pid, number)
            except ProcessLookupError:
                pass
        return victims

    def wait_gone(self, seconds):
        """Waits until nobody of the family lives; those who do after that time."""
        deadline = time.monotonic() + seconds
        while True:
            self.child.poll()
            left = self.family()
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.02)

    def stop(self, interrupt=False):
        """Ends it by SIGTERM, or as Ctrl-C does (SIGINT to the whole group): it must exit with 0 in time and leave nobody behind."""
        self.family()
        if interrupt:
            os.killpg(self.child.pid, signal.SIGINT)
        else:
            os.kill(self.pid, signal.SIGTERM)
        try:
            code = self.child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise Failure(f'still there {STOP_S} s after the signal: {sorted(self.roles())}\n{self.stderr()}')
        left = self.wait_gone(2)
        check(code == 0, f'exit code {code} at the end\n{self.stderr()}')
        check(not left, 'left behind: ' + ', '.join(f'{p.name} {p.pid}' for p in left.values()))
        self.child = None

    def destroy(self):
        """Ends whatever is left, without judging."""
        if self.child is None:
            return
        deadline = time.monotonic() + STOP_S
        while self.family() and time.monotonic() < deadline:
            self.kill('all')
            self.wait_gone(0.5)
        self.child.kill()
        self.exit_code = self.child.wait()
        self.child = None
