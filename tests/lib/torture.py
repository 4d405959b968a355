"""kill -9 under load: clients send without pause while processes of the server die, and the ledger judges at the end of each round.

A round is: load, one or more kills of one role (or of everybody), load, silence, everything accepted must lie in its Maildir. When `root`
or everybody was killed, whoever is left must go by itself within seconds, and the server is started again on the same folder. Every few
rounds the server is ended cleanly, which must add and double nothing, and the Maildirs are emptied.
"""
import os
import random
import re
import socket
import threading
import time

import ledger
import maildir
import smtp
from server import ACCOUNTS
from tap import Failure

ROLES = ('session', 'queue', 'deliver', 'lookup', 'admin', 'log')
CLIENT_S = 30
SETTLE_S = 40
RESTART_S = 15
ORPHANS_S = 10
STEADY_S = 0.3
CLEAN_EVERY = 5
TRIES = 20
MAILBOXES = [f'{name}@local.test' for name in ACCOUNTS]


class Load:
    """Clients, each a thread: connections of a few messages, pipelined or not, small and large, some ended in mid-content."""

    def __init__(self, server, book, clients, seed):
        self.server = server
        self.book = book
        self.stopping = threading.Event()
        self.errors = []
        self.threads = [threading.Thread(target=self._client, args=(random.Random(f'{seed}-{n}'), f'{seed}-{n}')) for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def _client(self, rng, name):
        number = 0
        pending = None
        try:
            while not self.stopping.is_set():
                try:
                    with smtp.Client(self.server.address, CLIENT_S) as client:
                        client.greet()
                        for _ in range(rng.randint(1, 20)):
                            if self.stopping.is_set():
                                break
                            if pending is None:
                                number += 1
                                pending = self._message(rng, f'{name}-{number}')
                            pending = self._send(rng, client, pending)
                except (OSError, smtp.Closed, smtp.Refused, TypeError):
                    time.sleep(0.02)
        except Exception as error:
            self.errors.append(error)

    def _message(self, rng, marker):
        recipients = rng.sample(MAILBOXES, rng.choice((1, 1, 1, 2, 3)))
        size = rng.choice((200, 1000, 4000, 4000, 30000)) if rng.random() < 0.98 else 1000000
        line = bytes(rng.choice(b'.abcdefghij klmnop\xc3\xa9') for _ in range(rng.randint(5, 70))) + b'\r\n'
        body = line * (size // len(line) + 1)
        self.book.begin(marker, recipients)
        return marker, recipients, ledger.compose(marker, 'torture@client.test', recipients[0], body), TRIES

    def _send(self, rng, client, message):
        """One try. The message again if it is to be sent again, None when done with it."""
        marker, recipients, octets, tries = message
        sender = 'torture@client.test'
        commands = [f'MAIL FROM:<{sender}>'] + [f'RCPT TO:<{to}>' for to in recipients] + ['DATA']
        outcome, text, number = 'refused', 'before the content', None
        try:
            self._commands(client, commands, rng.random() < 0.5)
            if rng.random() < 0.02:
                text = 'ended in mid-content'
                client.send(smtp.stuffed(octets)[:rng.randint(0, len(octets))])
                raise smtp.Refused(text)
            outcome, text = 'unknown', 'no reply'
            text = client.content(octets)
            outcome, number = verdict(text)
        finally:
            self.book.end(marker, outcome, text, number)
        return (marker, recipients, octets, tries - 1) if outcome in ('unknown', 'refused') and tries > 1 else None

    @staticmethod
    def _commands(client, commands, pipelined):
        if not pipelined:
            client.accepted(commands[:-1])
            client.accepted(commands[-1:], '354')
            return
        client.send(''.join(text + '\r\n' for text in commands).encode())
        replies = [client.reply()[-1] for _ in commands]
        if any(not reply.startswith('2') for reply in replies[:-1]) or not replies[-1].startswith('354'):
            raise smtp.Refused(str(replies))


def verdict(reply):
    """(outcome, queue id) of the reply to the end of data."""
    queued = re.match(r'250 2\.0\.0 .*queued as ([0-9a-v]{13})\b', reply)
    if queued:
        return 'accepted', queued.group(1)
    if reply.startswith('452'):
        return 'refused', None
    if reply.startswith('451') or reply.startswith('421'):
        return 'unknown', None
    return 'rejected', None


class Torture:
    def __init__(self, server, seed=1, clients=12, seconds=2.0, report=print):
        self.server = server
        self.seed = seed
        self.clients = clients
        self.seconds = seconds
        self.report = report
        self.rng = random.Random(seed)
        self.book = ledger.Ledger(os.path.join(server.folder, 'ledger.jsonl'))
        self.kills = {}
        self.restart_s = 0.0
        self.faults = []

    def targets(self):
        """What can be killed, once nobody new appears: the roles that live, root, everybody."""
        alive, since = set(), time.monotonic()
        while time.monotonic() < since + STEADY_S:
            if set(self.server.roles()) != alive:
                alive, since = set(self.server.roles()), time.monotonic()
            time.sleep(0.02)
        return [role for role in ROLES if role in alive] + ['root', 'all']

    def run(self, rounds):
        self.server.start()
        targets = self.targets()
        for number in range(rounds):
            self.round(number + 1, rounds, targets[number % len(targets)])
            if (number + 1) % CLEAN_EVERY == 0 or number + 1 == rounds:
                self.clean(number + 1 < rounds)
        self.book.close()
        return self.summary()

    def round(self, number, rounds, role):
        started = time.monotonic()
        before = self.book.totals()
        load = Load(self.server, self.book, self.clients, f'{self.seed}-{number}')
        try:
            for _ in range(self.rng.choice((1, 1, 2))):
                time.sleep(self.seconds * self.rng.uniform(0.1, 0.5))
                self.strike(role)
            time.sleep(self.seconds * 0.3)
        finally:
            load.stop()
        self.settle()
        totals = self.book.totals()
        news = ' '.join(f'{key} {totals[key] - before[key]}' for key in totals)
        self.report(f'round {number}/{rounds} killed {role:8} {news} failed {self.book.failed() + len(self.faults)} '
                    f'{time.monotonic() - started:.1f} s')

    def strike(self, role):
        """Kills, and sees to it that life goes on: by the server itself, or by a start when it had nobody left to do it."""
        victims = {process.key for process in self.server.kill(role)}
        self.kills[role] = self.kills.get(role, 0) + len(victims)
        self.book.note(killed=role, processes=len(victims))
        began = time.monotonic()
        if role in ('root', 'all'):
            left = self.server.wait_gone(ORPHANS_S)
            if left:
                self.faults.append(f'after the death of {role} these lived on: {sorted(p.role() for p in left.values())}')
            self.start_again()
            if self.rng.random() < 0.3:
                time.sleep(self.rng.uniform(0, 0.3))
                self.server.kill('all')
                self.start_again()
        else:
            while len([p for p in self.server.roles().get(role, []) if p.key not in victims]) < len(victims):
                if time.monotonic() > began + RESTART_S:
                    self.faults.append(f'{role} was not started again within {RESTART_S} s')
                    break
                time.sleep(0.02)
        self.restart_s = max(self.restart_s, time.monotonic() - began)

    def start_again(self):
        """A start that fails is a fault; the next one must work, or there is nothing to go on with."""
        self.server.destroy()
        try:
            self.server.start()
        except Failure as failure:
            self.faults.append(str(failure))
            time.sleep(1)
            self.server.start()

    def settle(self):
        """Waits until all that was accepted has arrived and the queue is empty; then nothing more may come."""
        deadline = time.monotonic() + SETTLE_S
        self.examine()
        while self.book.missing() and time.monotonic() < deadline:
            time.sleep(0.1)
            self.examine()
        try:
            self.server.wait_until(lambda: not self.server.queued(), SETTLE_S / 4, self._waiting)
        except Failure as failure:
            self.faults.append(str(failure))
        self.examine()
        self.book.conclude()

    def _waiting(self):
        waiting = self.server.queued()
        return f'{len(waiting)} messages are still in the queue: {waiting[:3]}'

    def examine(self):
        for address, box in self.server.mailboxes():
            for path in box.files():
                self.book.examine(address, path)

    def clean(self, again):
        """A clean end, empty Maildirs, and a start: what was delivered must not come again."""
        self.server_works()
        try:
            self.server.stop()
        except Failure as failure:
            self.faults.append(str(failure))
            self.server.destroy()
        self.examine()
        self.book.conclude()
        maildir.remove([path for _, box in self.server.mailboxes() for path in box.files() + box.unfinished()])
        if again:
            self.server.start()

    def server_works(self):
        try:
            with smtp.Client(self.server.address, CLIENT_S) as client:
                client.greet()
        except (OSError, smtp.Closed, smtp.Refused, socket.timeout) as error:
            self.faults.append(f'no greeting at the end of a round: {error}\n{self.server.stderr()}')

    def summary(self):
        return {'seed': self.seed, **self.book.totals(), 'kills': self.kills, 'longest_restart_s': round(self.restart_s, 2),
                **{kind: len(found) for kind, found in self.book.findings.items()}, 'faults': self.faults,
                'failed': self.book.failed() + len(self.faults)}

    def findings(self):
        lines = [f'{kind}: {text}' for kind, found in self.book.findings.items() for text in found[:20]]
        return '\n'.join(lines + self.faults)
