"""A receiving SMTP or LMTP server of the tests' own, on a free port of loopback, that does as it is told at each step.

    with Sink({'RCPT': '452 4.5.3 too many'}) as sink:      # every RCPT gets that
        sink.messages      # [Message(sender, parameters, recipients, content)] as they were accepted
        sink.sessions      # the commands of each connection

A script maps a step to what is said there: the steps are CONNECT, EHLO, HELO, LHLO, MAIL, RCPT, DATA, DOT, RSET, QUIT; `RCPT bad@x.test` is for
that recipient alone. A value is a reply (lines with `\\n` between them), Slow(seconds, reply), HANG, CLOSE, RESET, or a list of these: one for each time, the last one for ever. An LMTP sink says
DOT once a recipient. `extensions` stand in EHLO.
"""
import socket
import struct
import threading
import time
from collections import namedtuple

HANG, CLOSE, RESET = 'HANG', 'CLOSE', 'RESET'
Slow = namedtuple('Slow', 'seconds reply')
Message = namedtuple('Message', 'sender parameters recipients content')
ORDINARY = {'CONNECT': '220 sink.test ESMTP', 'HELO': '250 sink.test', 'MAIL': '250 2.1.0 ok', 'RCPT': '250 2.1.5 ok', 'DATA': '354 go on',
            'DOT': '250 2.0.0 taken', 'RSET': '250 2.0.0 ok', 'QUIT': '221 2.0.0 bye', 'NOOP': '250 2.0.0 ok'}


class End(Exception):
    """This connection is over."""


class Sink:
    def __init__(self, script=None, extensions=('PIPELINING', '8BITMIME', 'SIZE 100000000', 'ENHANCEDSTATUSCODES'), lmtp=False, path=None, host='127.0.0.1'):
        self.script = dict(script or {})
        self.counts = {}
        self.extensions = extensions
        self.lmtp = lmtp
        self.messages = []
        self.sessions = []
        self.lock = threading.Lock()
        self.released = threading.Event()
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
        else:
            self.listener = socket.create_server((host, 0))
            self.port = self.listener.getsockname()[1]
        self.listener.listen(256)
        self.accepting = threading.Thread(target=self.accept, daemon=True)
        self.accepting.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.released.set()
        # A thread that waits in accept would, interrupted, wait on for whatever socket has this number next.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.accepting.join()
        self.listener.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def what(self, step, argument=''):
        with self.lock:
            key = f'{step} {argument}' if f'{step} {argument}' in self.script else step
            value = self.script.get(key, ORDINARY.get(step, '250 ok'))
            if not isinstance(value, list):
                return value
            count = self.counts.get(key, 0)
            self.counts[key] = count + 1
            return value[min(count, len(value) - 1)]

    def say(self, client, step, argument=''):
        """The reply that was given; only a positive one lets the dialogue go on."""
        value = self.what(step, argument)
        if value == HANG:
            self.released.wait(300)
            raise End
        if value == RESET:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            raise End
        if value == CLOSE:
            raise End
        if isinstance(value, Slow):
            time.sleep(value.seconds)
            value = value.reply
        client.sendall(''.join(line + '\r\n' for line in value.split('\n')).encode())
        if value.startswith('421'):
            raise End
        return value

    def serve(self, client):
        commands = []
        self.sessions.append(commands)
        with client, client.makefile('rb') as file:
            try:
                self.say(client, 'CONNECT')
                self.dialogue(client, file, commands)
            except (End, OSError):
                pass

    def hello(self, client, verb):
        value = self.what(verb)
        if verb != 'HELO' and verb not in self.script:
            lines = ['sink.test', *self.extensions]
            client.sendall(''.join(f'250{" " if line is lines[-1] else "-"}{line}\r\n' for line in lines).encode())
        elif value in (HANG, CLOSE, RESET):
            self.say(client, verb)
        else:
            client.sendall((value + '\r\n').encode())

    def dialogue(self, client, file, commands):
        sender, recipients, parameters = None, [], ''
        while True:
            line = file.readline()
            if not line:
                return
            text = line.decode('latin-1').rstrip('\r\n')
            commands.append(text)
            verb = text.split(' ')[0].upper()
            if verb in ('EHLO', 'HELO', 'LHLO'):
                self.hello(client, verb)
            elif verb == 'MAIL':
                path, _, parameters = text[10:].partition(' ')
                if self.say(client, 'MAIL').startswith('2'):
                    sender, recipients = path[1:-1], []
            elif verb == 'RCPT':
                address = text[8:].split(' ')[0][1:-1]
                if sender is None:
                    client.sendall(b'503 5.5.1 MAIL first\r\n')
                elif self.say(client, 'RCPT', address).startswith('2'):
                    recipients.append(address)
            elif verb == 'DATA':
                if self.say(client, 'DATA').startswith('3'):
                    self.content(client, file, sender, parameters, recipients)
                    recipients = []
            elif verb == 'QUIT':
                self.say(client, 'QUIT')
                return
            else:
                self.say(client, verb)

    def content(self, client, file, sender, parameters, recipients):
        lines = []
        while True:
            line = file.readline()
            if not line:
                raise End
            if line == b'.\r\n':
                break
            lines.append(line[1:] if line.startswith(b'.') else line)
        taken = []
        for recipient in recipients if self.lmtp else [None]:
            if self.say(client, 'DOT', recipient or '').startswith('2'):
                taken.append(recipient)
        if recipients and taken:  # a lone dot after nobody was accepted is no message (RFC 2920 section 3.1)
            self.messages.append(Message(sender, parameters, taken if self.lmtp else list(recipients), b''.join(lines)))
