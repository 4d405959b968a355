"""The servers that are measured side by side. A new one is a class here and a line in PEERS: see README.md.

Each must take mail for u0 ... u9 at discard.test (accept it as durably as it can, then drop it), at local.test
(Maildirs below its folder, or has_maildir = False) and at remote.test and refused.test (relayed to `far`, or relays = False).
"""
import os
import pwd
import re
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'peers'))

import postfix  # noqa: E402  tests/peers/postfix.py
from family import Family  # noqa: E402

PeerUnavailable, PeerFailed = postfix.PeerUnavailable, postfix.PeerFailed
START_LIMIT_S = 20
TRACED = 'fsync,fdatasync,sync,syncfs,sync_file_range,msync,pwritev2,io_uring_enter'


class Peer:
    """A server: prepared in a folder of its own, started, measured from outside, stopped."""

    name = ''
    has_maildir = True
    relays = True
    lists = False   # has list_queue(), and keeps mail for held.test
    flushes = True

    def __init__(self, options):
        self.options = options
        self.far = None  # (host, port) of the server that remote.test leads to
        self.folder = None
        self.family = None
        self.address = None

    # What a new peer writes:

    def check(self):
        """Raises PeerUnavailable when it cannot run here; may download."""

    def prepare(self, many_connections):
        """Writes configuration into self.folder; returns (command line of the foreground process, environment)."""
        raise NotImplementedError

    def find_address(self):
        """ADDR:PORT once it listens, None before: by default from the line that it prints first."""
        with open(self.path('output'), errors='replace') as f:
            found = re.search(r'^listening smtp (\S+)$', f.read(), re.M)
        return found.group(1) if found else None

    def maildir_root(self):
        """The folder that holds the mailboxes, at any depth."""
        return self.path('mail')

    def version(self):
        """For people; asked after check()."""
        return ''

    # What it inherits:

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def start(self, folder, many_connections=False, trace=None):
        """`trace`: a file for every call that may flush, with its time (this slows the peer, a little)."""
        self.folder = folder
        os.makedirs(folder)
        os.chmod(folder, 0o755)
        command, env = self.prepare(many_connections)
        if trace:
            command = ['strace', '-DD', '-f', '--seccomp-bpf', '-qq', '-ttt', '-e', 'trace=' + TRACED,
                       '-e', 'signal=none', '-o', trace, '--', *command]
        self.family = Family(self.name)
        try:
            self.family.start(command, env, self.path('output'))
            self.address = self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def wait_ready(self):
        until = time.monotonic() + START_LIMIT_S
        while time.monotonic() < until and self.family.child.poll() is None:
            address = self.find_address()
            if address:
                host, _, port = address.rpartition(':')
                if postfix.wait_for_banner(host.strip('[]'), int(port), self.family.child, START_LIMIT_S):
                    return address
            time.sleep(0.02)
        raise PeerFailed(f'{self.name} did not start:\n{self.last_words()}')

    def last_words(self):
        words = ''
        for name in ('output', 'log'):
            if os.path.exists(self.path(name)):
                with open(self.path(name), errors='replace') as f:
                    words += ''.join(f.readlines()[-10:])
        return words

    def stop(self):
        """True when it ended by itself within the limit."""
        clean = self.family.stop() if self.family else True
        self.family = None
        return clean

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Veredus(Peer):
    name = 'veredus'
    lists = True

    def check(self):
        if not os.access(os.path.join(self.options.build, 'veredus'), os.X_OK):
            raise PeerFailed(f'there is no {self.options.build}/veredus: build it first')

    def prepare(self, many_connections):
        os.makedirs(self.path('spool'))
        os.makedirs(self.path('mail'))
        open(self.path('log'), 'w').close()
        user, limit = '', ''
        if os.getuid() == 0:
            user = 'user nobody'
            nobody = pwd.getpwnam('nobody')
            for name in ('spool', 'mail', 'log'):
                os.chown(self.path(name), nobody.pw_uid, nobody.pw_gid)
        if many_connections:
            limit = f'sessions_limit {self.options.idle_connections + 100}'
        with open(self.path('veredus.conf'), 'w') as f:
            f.write(f'''hostname mx.bench.test
spool {self.path('spool')}
control {self.path('control')}
{user}
{limit}
log {{ to file {self.path('log')} }}
listen mx {{ address 127.0.0.1:0  role mx }}
domain local.test {{ accounts any  mailbox maildir {self.path('mail')}/{{domain}}/{{user}} }}
route discard.test {{ to discard }}
route held.test {{ to hold }}
{self.far_route()}
''')
        return [os.path.join(self.options.build, 'veredus'), 'serve', '-c', self.path('veredus.conf')], dict(os.environ)


    def list_queue(self):
        """Every message as people see it; how many there are."""
        with subprocess.Popen([os.path.join(self.options.build, 'veredus'), 'queue', 'list', '-c', self.path('veredus.conf')], stdout=subprocess.PIPE) as listing:
            return sum(1 for line in listing.stdout if line.startswith(b'00'))

    def far_route(self):
        if not self.far:
            return ''
        host, port = self.far
        return f'route remote.test {{ to host {host} port {port} }}\nroute refused.test {{ to host {host} port {port} }}\nrelay_from 127.0.0.0/8'


class Postfix(Peer):
    """When it relays, with as many deliveries to one destination at the same time as Veredus has."""

    name = 'postfix'
    relay_settings = {'smtp_destination_concurrency_limit': '20', 'relay_destination_concurrency_limit': '20',
                      'initial_destination_concurrency': '20'}

    def check(self):
        if os.getuid() != 0:
            raise PeerUnavailable('Postfix runs as root only, so it is left out')
        self.tree = postfix.unpack('postfix')

    def prepare(self, many_connections):
        # As it comes, which is a hundred processes: with 300 it took fewer messages/s at 200 connections, not more. Only
        # to hold idle connections it needs one for each.
        limit = {'default_process_limit': str(self.options.idle_connections + 100)} if many_connections else {}
        if self.far:
            limit |= self.relay_settings
        self.instance = postfix.Postfix(self.folder, tree=self.tree, main=limit,
                                        routes={'remote.test': self.far, 'refused.test': self.far} if self.far else {})
        return self.instance.prepare()

    def find_address(self):
        return f'{self.instance.host}:{self.instance.port}'

    def maildir_root(self):
        return self.instance.mail

    def version(self):
        postconf = os.path.join(self.tree, 'usr', 'sbin', 'postconf')
        return subprocess.check_output([postconf, '-d', '-h', 'mail_version'], env=postfix.environment(self.tree),
                                       stderr=subprocess.DEVNULL, text=True).strip()


class PostfixShipped(Postfix):
    """As its makers ship it: for the measure of relaying alone, everything else is the same."""

    name = 'postfix-shipped'
    relay_settings = {}


class Null(Peer):
    name = 'null'
    has_maildir = False
    relays = False
    flushes = False

    def prepare(self, many_connections):
        return [os.path.join(self.options.tools, 'null')], dict(os.environ)


PEERS = {peer.name: peer for peer in (Veredus, Postfix, Null)}
RELAY_PEERS = {Postfix.name: [Postfix, PostfixShipped]}  # one that is asked for is measured as all of these when it relays
