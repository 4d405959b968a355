"""The language of *.dlg files: what a client says, octet by octet, and what a server must answer.

A file is read line by line; `#` in front is a comment. At the top, before anything else:

    config: LINE            a configuration line that replaces the usual one with the same first word (or name), or is added

The talk (the connection is made by the first line that needs it):

    C: TEXT                 sends TEXT and CRLF
    C\\: TEXT                sends TEXT without an end; \\r \\n \\0 \\t \\\\ \\xHH stand for octets
    S: 250 2.1.0 *          the next line must match; `*` is any text
    S: 250                  a whole reply with this code, of one line or many
    has TEXT / hasnt TEXT   a line of the last whole reply, without its code, matches TEXT / none does
    split N                 the next C line goes out in pieces of N octets, each a segment of its own
    pause SECONDS           waits
    deadline SECONDS        how long each later wait may take (default 10)
    silence SECONDS         the server says nothing for so long
    close / half-close      ends the connection / its sending half;  expect close   the server ends it and says nothing before
    connect                 a new connection, after an end
    repeat N ... end        the lines between, N times; {i} in them is 0, 1, ... N-1

In C lines {TEXT*N} is TEXT N times. What became of it (counted since the dialogue began):

    mailbox ADDRESS N       waits until N messages are there, no more
    content ADDRESS         one of them has exactly this content below its trace header:
    > LINE                  ... a line of it (>\\ LINE with the escapes of C\\)
    header ADDRESS TEXT     a line of one of them matches TEXT;  no header ADDRESS TEXT   no line of any does
    no mail                 nothing has come anywhere but what was claimed by `mailbox`
"""
import re
import socket
import time

import maildir
from smtp import Client, Closed
from tap import Failure

WORDS = ('C', 'C\\', 'S', 'has', 'hasnt', 'split', 'pause', 'deadline', 'silence', 'close', 'half-close', 'expect', 'connect', 'repeat',
         'end', 'mailbox', 'content', '>', '>\\', 'header', 'no')


class Step:
    def __init__(self, place, word, text):
        self.place = place
        self.word = word
        self.text = text
        self.body = []  # of a repeat, or the lines of a content


class Script:
    def __init__(self, path):
        self.path = path
        self.configuration = []
        self.steps = []
        with open(path, encoding='utf-8') as file:
            self._parse(file.read().split('\n'))

    def _parse(self, lines):
        blocks = [self.steps]
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith('#'):
                continue
            step = self._step(f'{self.path}:{number}', line.lstrip())
            if step is None:
                continue
            if step.word in ('>', '>\\'):
                blocks[-1][-1].body.append(step)
            elif step.word == 'end':
                blocks.pop()
            else:
                blocks[-1].append(step)
                if step.word == 'repeat':
                    blocks.append(step.body)
            if not blocks:
                raise Failure(f'{step.place}: `end` without `repeat`')
        if len(blocks) != 1:
            raise Failure(f'{self.path}: `repeat` without `end`')

    def _step(self, place, line):
        if line.startswith('config: '):
            if self.steps:
                raise Failure(f'{place}: `config:` after the first step')
            self.configuration.append(line[len('config: '):])
            return None
        found = re.match(r'(C\\|C|S): ?(.*)$', line) or re.match(r'(>\\|>)(?: (.*))?$', line) or re.match(r'([a-z-]+)(?: (.*))?$', line)
        if not found or found.group(1) not in WORDS:
            raise Failure(f'{place}: not a step: {line}')
        return Step(place, found.group(1), found.group(2) or '')


def unescaped(text):
    simple = {'r': b'\r', 'n': b'\n', '0': b'\0', 't': b'\t', '\\': b'\\'}
    octets = b''
    for plain, escape, code in re.findall(r'([^\\]+)|\\(x([0-9a-fA-F]{2})|.)', text):
        octets += plain.encode() if plain else bytes([int(code, 16)]) if code else simple[escape]
    return octets


def expanded(text):
    return re.sub(r'\{([^{}]+)\*(\d+)\}', lambda found: found.group(1) * int(found.group(2)), text)


def matches(pattern, text):
    return re.fullmatch('.*'.join(re.escape(part) for part in pattern.split('*')), text, re.S) is not None


class Talk:
    """One run of a script against a server."""

    def __init__(self, script, server, deadline_s):
        self.script = script
        self.server = server
        self.client = None
        self.deadline_s = deadline_s
        self.piece = 0
        self.reply = []
        self.before = {path for _, box in server.mailboxes() for path in box.files()}
        self.claimed = set()

    def run(self):
        family = self.server.family()
        try:
            self._steps(self.script.steps, None)
        finally:
            if self.client:
                self.client.close()
        self.server.check_unharmed(family)

    def _steps(self, steps, index):
        for step in steps:
            text = step.text if index is None else step.text.replace('{i}', str(index))
            try:
                self._step(step, text)
            except socket.timeout:
                raise Failure(f'{step.place}: nothing within {self.deadline_s} s, expected: {step.word} {text}')
            except (Closed, ConnectionError) as end:
                raise Failure(f'{step.place}: {end}, at: {step.word} {text}')

    def _step(self, step, text):
        if step.word in ('C', 'C\\'):
            octets = expanded(text).encode() + b'\r\n' if step.word == 'C' else unescaped(expanded(text))
            self._connected().send(octets, self.piece)
            self.piece = 0
        elif step.word == 'S':
            self._expect(step, text)
        elif step.word in ('has', 'hasnt'):
            found = any(matches(text, line[4:]) for line in self.reply)
            if found != (step.word == 'has'):
                raise Failure(f'{step.place}: {step.word} {text}\n  the reply was:\n  ' + '\n  '.join(self.reply))
        elif step.word == 'split':
            self.piece = int(text)
        elif step.word == 'pause':
            time.sleep(float(text))
        elif step.word == 'deadline':
            self.deadline_s = float(text)
        elif step.word == 'repeat':
            for index in range(int(text)):
                self._steps(step.body, index)
        elif step.word in ('mailbox', 'content', 'header', 'no'):
            self._mail(step, text)
        else:
            self._connection(step, text)

    def _connected(self):
        if self.client is None:
            self.client = Client(self.server.address, self.deadline_s)
        self.client.deadline_s = self.deadline_s
        return self.client

    def _expect(self, step, text):
        if re.fullmatch(r'\d\d\d', text):
            self.reply = self._connected().reply()
            good = all(re.match(text + '[ -]', line) for line in self.reply)
        else:
            self.reply = [self._connected().line()]
            good = matches(text, self.reply[0])
        if not good:
            raise Failure(f'{step.place}: expected: {text}\n  got: ' + '\n       '.join(self.reply))

    def _connection(self, step, text):
        if step.word == 'connect':
            self.client = Client(self.server.address, self.deadline_s)
        elif step.word == 'half-close':
            self._connected().socket.shutdown(socket.SHUT_WR)
        elif step.word == 'close':
            self._connected().close()
        elif step.word == 'silence':
            self._connected().deadline_s = float(text)
            try:
                raise Failure(f'{step.place}: expected silence\n  got: {self.client.line()}')
            except socket.timeout:
                pass
        elif step.word == 'expect' and text == 'close':
            rest = self._connected().wait_closed()
            if rest:
                raise Failure(f'{step.place}: expected the end of the connection\n  got: {rest!r}')
        else:
            raise Failure(f'{step.place}: not a step: {step.word} {text}')

    def _mail(self, step, text):
        without = step.word == 'no' and text.startswith('header ')
        address, _, rest = text.removeprefix('header ' if without else '').partition(' ')
        box = self.server.mailbox(address) if '@' in address else None
        if step.word == 'mailbox':
            try:
                self.claimed |= set(box.wait(int(rest), self.deadline_s, self.before))
            except Failure as failure:
                raise Failure(f'{step.place}: {failure}')
        elif step.word == 'no' and not without:
            stray = unclaimed(self.server, self.before | self.claimed)
            if stray:
                raise Failure(f'{step.place}: there is mail\n{stray}')
        else:
            stored = [maildir.read(path) for path in box.files() if path not in self.before]
            if step.word in ('header', 'no'):
                found = any(matches(rest, line.decode('utf-8', 'backslashreplace')) for octets in stored for line in octets.split(b'\n'))
                if found == without:
                    raise Failure(f'{step.place}: {"a" if without else "no"} line matches: {rest}\n{shown(stored)}')
                return
            wanted = b''.join((unescaped(expanded(line.text)) if line.word == '>\\' else expanded(line.text).encode()) + b'\n'
                              for line in step.body)
            if not any(maildir.same_content(octets, wanted) for octets in stored):
                raise Failure(f'{step.place}: no message with this content\n{shown([wanted])}\nthere are:\n{shown(stored)}')


def unclaimed(server, known):
    """What lies in the Maildirs beside the files of `known`, shown; '' when there is nothing."""
    paths = [path for _, box in server.mailboxes() for path in box.files() if path not in known]
    return '\n'.join(f'{path}\n{shown([maildir.read(path)])}' for path in paths)


def shown(messages):
    return '\n--\n'.join(repr(octets[:1000])[2:-1].replace('\\n', '\\n\n  ') for octets in messages)


def run(path, server, deadline_s=10):
    """Runs one file; raises Failure. The paths that its `mailbox` lines claimed."""
    talk = Talk(Script(path), server, deadline_s)
    talk.run()
    return talk.claimed
