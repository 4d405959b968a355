#!/usr/bin/python3
"""Postfix from its Debian package, unpacked but not installed: started, asked and stopped by tests and measurements.

As a module:

    with Postfix('/some/empty/folder', main={'message_size_limit': '1000000'}) as postfix:
        deliver_to(postfix.host, postfix.port)

As a program, with the manners of `veredus serve`: prints `listening smtp ADDR:PORT`, stays in the foreground, ends by
SIGTERM or SIGINT, and takes all of Postfix with it:

    tests/peers/postfix.py [--listen 127.0.0.1:0] [--route relay.test=127.0.0.1:2600] [--main KEY=VALUE]... FOLDER

What it offers: any recipient at discard.test is accepted, queued and dropped; u0 ... u199 at local.test have Maildirs,
FOLDER/mail/local.test/uN; each --route is a domain that is relayed to that address. Mail from loopback is trusted.

It needs root, as Postfix does, and leaves the system's files alone: Postfix insists on a user and a group of its own, and
gets `daemon` and `mail`, which every Debian has and which nothing else here runs as. Mailboxes belong to `nobody`. The
folder must lie where those may reach it (every folder above it searchable for others).
"""
import argparse
import grp
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from leash import Leash  # noqa: E402

MAIL_OWNER = 'daemon'
SETGID_GROUP = 'mail'
MAILBOX_OWNER = 'nobody'
MAILBOXES = 200
START_LIMIT_S = 20
STOP_LIMIT_S = 20

# name, type, private, unprivileged, wakeup, process limit, command: Postfix's usual services without chroot
SERVICES = '''
pickup     unix       n - n 60    1 pickup
cleanup    unix       n - n -     0 cleanup
qmgr       unix       n - n 300   1 qmgr
rewrite    unix       - - n -     - trivial-rewrite
bounce     unix       - - n -     0 bounce
defer      unix       - - n -     0 bounce
trace      unix       - - n -     0 bounce
verify     unix       - - n -     1 verify
flush      unix       n - n 1000? 0 flush
proxymap   unix       - - n -     - proxymap
proxywrite unix       - - n -     1 proxymap
smtp       unix       - - n -     - smtp
relay      unix       - - n -     - smtp
showq      unix       n - n -     - showq
error      unix       - - n -     - error
retry      unix       - - n -     - error
discard    unix       - - n -     - discard
virtual    unix       - n n -     - virtual
lmtp       unix       - - n -     - lmtp
anvil      unix       - - n -     1 anvil
scache     unix       - - n -     1 scache
tlsmgr     unix       - - n 1000? 1 tlsmgr
postlog    unix-dgram n - n -     1 postlogd
'''

# folder below the queue, mode, owned by: MAIL_OWNER or root; what Postfix's own installation makes
QUEUE_FOLDERS = [('active', 0o700, True), ('bounce', 0o700, True), ('corrupt', 0o700, True), ('defer', 0o700, True),
                 ('deferred', 0o700, True), ('flush', 0o700, True), ('hold', 0o700, True), ('incoming', 0o700, True),
                 ('maildrop', 0o730, True), ('pid', 0o755, False), ('private', 0o700, True), ('public', 0o710, True),
                 ('saved', 0o700, True), ('trace', 0o700, True)]


class PeerUnavailable(Exception):
    """This peer cannot run here; the text says why."""


class PeerFailed(Exception):
    """The peer should run, and does not."""


def unpack(package, folder=None):
    """The folder that holds the package's files, downloaded first if need be."""
    command = [os.path.join(HERE, 'unpack')] + (['--dir', folder] if folder else []) + [package]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise PeerUnavailable(done.stderr.strip() or f'{package} cannot be unpacked')
    return done.stdout.strip()


def environment(tree):
    """The environment in which the tree's programs find their libraries."""
    with open(os.path.join(tree, '.library_path')) as f:
        return {'PATH': f'{tree}/usr/sbin:{tree}/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL': 'C',
                'LD_LIBRARY_PATH': f.read().strip()}


def free_port(host='127.0.0.1'):
    """A port that was free a moment ago: for servers that cannot take 0 and say what they got."""
    with socket.socket() as s:
        s.bind((host, 0))
        return s.getsockname()[1]


def check_reachable(folder):
    """Postfix's daemons are not root: a folder below /root, say, would be refused with obscure errors."""
    path = os.path.abspath(folder)
    while path != '/':
        if not os.stat(path).st_mode & stat.S_IXOTH:
            raise PeerUnavailable(f'{path} is closed to other users, so Postfix cannot work in {folder}')
        path = os.path.dirname(path)


def wait_for_banner(host, port, child, limit_s=START_LIMIT_S):
    """True once a whole greeting came; False when the child ended or the time is over."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until and child.poll() is None:
        try:
            with socket.create_connection((host, port), timeout=5) as s:
                if s.recv(512).startswith(b'220'):
                    s.sendall(b'QUIT\r\n')
                    s.recv(512)
                    return True
        except OSError:
            pass
        time.sleep(0.05)
    return False


class Postfix:
    """One instance: `folder` gets its configuration, queue, data, log and mail."""

    def __init__(self, folder, host='127.0.0.1', port=0, routes=None, main=None, tree=None):
        if os.getuid() != 0:
            raise PeerUnavailable('Postfix runs as root only')
        self.folder = os.path.abspath(folder)
        self.host = host
        self.wanted_port = port
        self.port = 0
        self.routes = routes or {}
        self.main = main or {}
        self.tree = tree or unpack('postfix')
        self.child = self.leash = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.stop()

    def path(self, *names):
        return os.path.join(self.folder, *names)

    @property
    def log(self):
        return self.path('log')

    @property
    def mail(self):
        return self.path('mail')

    def version(self):
        return self.command('postconf', '-h', 'mail_version').strip()

    def command(self, name, *arguments):
        """Runs one of Postfix's tools against this instance; what it printed."""
        command = [os.path.join(self.tree, 'usr', 'sbin', name), '-c', self.path('etc'), *arguments]
        return subprocess.check_output(command, env=environment(self.tree), text=True)

    def queued(self):
        """How many messages wait in the queue or are on their way."""
        return sum(len(files) for name in ('maildrop', 'incoming', 'active', 'deferred', 'hold')
                   for _, _, files in os.walk(self.path('queue', name)))

    def settings(self):
        sbin = os.path.join(self.tree, 'usr', 'lib', 'postfix', 'sbin')
        owner = pwd.getpwnam(MAILBOX_OWNER)
        transports = ['{discard.test = discard:}']
        transports += [f'{{{domain} = relay:[{host}]:{port}}}' for domain, (host, port) in self.routes.items()]
        settings = {
            'compatibility_level': '3.7',
            'queue_directory': self.path('queue'), 'data_directory': self.path('data'),
            'daemon_directory': sbin, 'command_directory': os.path.join(self.tree, 'usr', 'sbin'),
            'meta_directory': self.path('etc'), 'shlib_directory': os.path.join(self.tree, 'usr', 'lib', 'postfix'),
            # Postfix clears the environment of its daemons, which could then not be loaded from the unpacked tree.
            'import_environment': 'MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C LD_LIBRARY_PATH='
                                  + environment(self.tree)['LD_LIBRARY_PATH'],
            'mail_owner': MAIL_OWNER, 'setgid_group': SETGID_GROUP, 'default_privs': MAILBOX_OWNER,
            'maillog_file': self.log, 'maillog_file_prefixes': self.folder,
            'myhostname': 'mx.peer.test', 'mydestination': '', 'inet_interfaces': self.host, 'inet_protocols': 'all',
            'mynetworks': '127.0.0.0/8 [::1]/128', 'relay_domains': ' '.join(['discard.test', *self.routes]),
            # Names of loopback come from /etc/hosts or from nowhere: tests do not ask the DNS.
            'smtpd_peername_lookup': 'no', 'smtp_host_lookup': 'native', 'disable_dns_lookups': 'yes',
            'local_recipient_maps': '', 'alias_maps': '', 'alias_database': '', 'notify_classes': '',
            'transport_maps': f'inline:{{ {", ".join(transports)} }}',
            'virtual_mailbox_domains': 'local.test', 'virtual_mailbox_base': self.mail,
            'virtual_mailbox_maps': 'texthash:' + self.path('etc', 'mailboxes'), 'virtual_mailbox_limit': '0',
            'virtual_uid_maps': f'static:{owner.pw_uid}', 'virtual_gid_maps': f'static:{owner.pw_gid}',
        }
        settings.update(self.main)
        return settings

    def write_configuration(self):
        os.makedirs(self.path('etc'), exist_ok=True)
        with open(self.path('etc', 'main.cf'), 'w') as f:
            f.writelines(f'{key} = {value}\n' for key, value in self.settings().items())
        with open(self.path('etc', 'master.cf'), 'w') as f:
            f.write(f'{self.host}:{self.port} inet n - n - - smtpd{SERVICES}')
        with open(self.path('etc', 'mailboxes'), 'w') as f:
            f.writelines(f'u{n}@local.test local.test/u{n}/\n' for n in range(MAILBOXES))

    def make_folders(self):
        """What post-install would make: with it the instance starts without the scripts of the package."""
        owner, postdrop = pwd.getpwnam(MAIL_OWNER).pw_uid, grp.getgrnam(SETGID_GROUP).gr_gid
        mailbox_owner = pwd.getpwnam(MAILBOX_OWNER)
        for name in ('queue', 'data', 'mail'):
            os.makedirs(self.path(name), exist_ok=True)
        os.chown(self.path('data'), owner, -1)
        os.chown(self.path('mail'), mailbox_owner.pw_uid, mailbox_owner.pw_gid)
        for name, mode, owned in QUEUE_FOLDERS:
            path = self.path('queue', name)
            os.makedirs(path, exist_ok=True)
            os.chown(path, owner if owned else 0, postdrop if name in ('maildrop', 'public') else 0)
            os.chmod(path, mode)

    def prepare(self):
        """Writes everything; the command line that runs Postfix in the foreground, and its environment."""
        os.makedirs(self.folder, exist_ok=True)
        os.chmod(self.folder, 0o755)
        check_reachable(self.folder)
        check_reachable(self.tree)
        self.port = self.wanted_port or free_port(self.host)
        self.write_configuration()
        self.make_folders()
        master = os.path.join(self.tree, 'usr', 'lib', 'postfix', 'sbin', 'master')
        return [master, '-d', '-c', self.path('etc')], environment(self.tree)

    def start(self):
        command, env = self.prepare()
        # A session of its own, since master ends its process group.
        with open(self.path('output'), 'ab') as output:
            self.child = subprocess.Popen(command, env=env, cwd='/', stdout=output, stdin=subprocess.DEVNULL,
                                          stderr=output, start_new_session=True)
        self.leash = Leash(self.child.pid)
        if not wait_for_banner(self.host, self.port, self.child):
            self.stop()
            raise PeerFailed('Postfix did not start:\n' + self.troubles())

    def troubles(self):
        """The end of what Postfix printed and logged."""
        text = ''
        for path in (self.path('output'), self.log):
            if os.path.exists(path):
                with open(path, errors='replace') as f:
                    text += ''.join(f.readlines()[-10:])
        return text

    def stop(self):
        if not self.child:
            return
        self.leash.release()
        self.child.terminate()
        try:
            self.child.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child = None


def address(text):
    host, _, port = text.rpartition(':')
    return host.strip('[]'), int(port)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--listen', type=address, default=('127.0.0.1', 0), metavar='ADDR:PORT')
    parser.add_argument('--route', action='append', default=[], metavar='DOMAIN=ADDR:PORT')
    parser.add_argument('--main', action='append', default=[], metavar='KEY=VALUE', help='a setting of main.cf')
    parser.add_argument('folder')
    options = parser.parse_args()
    routes = {domain: address(where) for domain, where in (r.split('=', 1) for r in options.route)}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    try:
        with Postfix(options.folder, *options.listen, routes=routes,
                     main=dict(m.split('=', 1) for m in options.main)) as postfix:
            print(f'listening smtp {postfix.host}:{postfix.port}', flush=True)
            postfix.child.wait()
            sys.exit('postfix.py: Postfix ended by itself:\n' + postfix.troubles())
    except (PeerUnavailable, PeerFailed) as e:
        sys.exit(f'postfix.py: {e}')


if __name__ == '__main__':
    main()
