"""The recorder: from the system calls of a running server, that no 250 was said before the flush that covers its message.

strace writes a line when a call is entered and one when it returns (one line for both if nothing came between). A process goes on only
after its line is written, so the order of lines is the order of events: what returned in an earlier line had returned before a later
line's call began. For each accepted message the trace must show, in this order and on one file of the spool:

    the writes that hold the message returned  ->  a flush began  ->  it returned 0  ->  the send of `queued as ID` began
"""
import os
import re
import threading

import smtp
from server import Server
from tap import Failure
from torture import verdict

WRITES = ('pwritev', 'pwrite64', 'pwritev2', 'write', 'writev')
FLUSHES = ('fdatasync', 'fsync')
SENDS = ('sendto', 'sendmsg', 'write', 'writev')
STRING_MAX = 2048  # of each piece of a write; messages are smaller, and the zeros of a new segment are cut


class Call:
    """One system call: `start` and `end` are line numbers; `result` is None while, or if, it never returned."""

    def __init__(self, pid, name, text, start):
        self.pid = pid
        self.name = name
        self.text = text
        self.start = start
        self.end = None
        self.result = None
        target = re.match(r'\d+<([^>]*)>', text)
        self.target = target.group(1) if target else ''

    def finish(self, text, end):
        result = re.search(r'\)\s+= (-?\d+)', text)
        self.end = end
        self.result = int(result.group(1)) if result else None


def read_trace(lines):
    """All calls, in the order in which they began."""
    calls, open_calls = [], {}
    for number, line in enumerate(lines):
        found = re.match(r'(\d+)\s+[\d:.]+ (.*)$', line, re.S)
        if not found:
            continue
        pid, text = found.group(1), found.group(2).rstrip('\n')
        resumed = re.match(r'<\.\.\. (\w+) resumed>(.*)$', text, re.S)
        begun = re.match(r'(\w+)\((.*)$', text, re.S)
        if resumed and pid in open_calls:
            open_calls.pop(pid).finish(resumed.group(2), number)
        elif begun:
            call = Call(pid, begun.group(1), begun.group(2), number)
            calls.append(call)
            if text.endswith('<unfinished ...>'):
                open_calls[pid] = call
            else:
                call.finish(text[text.rindex(')'):] if ')' in text else '', number)
    return calls


def spool_calls(calls, names, spool):
    return [call for call in calls if call.name in names and call.target.startswith(spool + '/')]


def calls_by_word(calls):
    """Word of a call's text -> calls, in order: a batch holds many messages, and each is asked for."""
    index = {}
    for call in calls:
        for word in set(re.findall(r'[0-9a-z]{7,}', call.text)):
            index.setdefault(word, []).append(call)
    return index


def complaint(marker, number, writes, flushes, sends):
    """Why this message's 250 was not covered; None when it was. `writes` and `sends` by word."""
    said = next((call for call in sends.get(number, ()) if f'queued as {number}' in call.text), None)
    if said is None:
        return f'{marker}: the reply with {number} is not in the trace'
    holding = [call for word in (marker, number) for call in writes.get(word, ()) if call.start < said.start]
    if not any(marker in call.text for call in holding):
        return f'{marker}: not written to the spool before its reply'
    for write in holding:
        if write.result is None or write.result <= 0 or write.end > said.start:
            return f'{marker}: the write in line {write.start + 1} had not succeeded when the reply was said'
        if not any(flush.target == write.target and flush.start > write.end and flush.result == 0 and flush.end < said.start
                   for flush in flushes):
            return f'{marker}: no flush of {write.target} between the write in line {write.start + 1} and the reply in line {said.start + 1}'
    return None


def judge(lines, accepted, spool):
    """`accepted`: marker -> queue id. (complaints, flushes of spool files)"""
    calls = read_trace(lines)
    writes = spool_calls(calls, WRITES, spool)
    flushes = spool_calls(calls, FLUSHES, spool)
    sends = [call for call in calls if call.name in SENDS and 'queued as ' in call.text and not call.target.startswith(spool + '/')]
    by_word = calls_by_word(writes), calls_by_word(sends)
    found = [complaint(marker, number, by_word[0], flushes, by_word[1]) for marker, number in accepted.items()]
    return [text for text in found if text], len([call for call in flushes if call.result == 0])


def strace(path):
    return ['strace', '-f', '-y', '-tt', '-s', str(STRING_MAX), '--seccomp-bpf', '-o', path,
            '-e', 'trace=' + ','.join(sorted(set(WRITES + FLUSHES + SENDS))), '-e', 'signal=none', '-q']


class Recording:
    """A server under strace, and clients that all send at once."""

    def __init__(self, build=None, connections=50, messages=8):
        self.connections = connections
        self.messages = messages
        self.server = Server(build=build)
        self.trace = os.path.join(self.server.folder, 'trace')
        self.server.prefix = strace(self.trace)
        self.accepted = {}
        self.errors = []
        self._start = threading.Barrier(connections)

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.server.__exit__(*failure)

    def run(self):
        """Starts, sends, ends; (complaints, flushes for each message)."""
        self.server.start()
        clients = [threading.Thread(target=self._client, args=(n,)) for n in range(self.connections)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        if self.errors:
            raise Failure('\n'.join(str(error) for error in self.errors[:5]) + '\n' + self.server.stderr())
        self.server.stop()
        with open(self.trace, errors='replace') as file:
            complaints, flushes = judge(file, self.accepted, os.path.join(self.server.folder, 'spool'))
        return complaints, flushes / len(self.accepted)

    def _client(self, n):
        try:
            with smtp.Client(self.server.address, deadline_s=60) as client:
                client.greet()
                self._start.wait()
                for m in range(self.messages):
                    marker = f'marker{n:03}x{m:03}end'
                    client.envelope('recorder@client.test', ['user@local.test' if m % 2 else 'anybody@sink.test'])
                    reply = client.content(f'Subject: {marker}\r\n\r\n{"text" * 100}\r\n'.encode())
                    outcome, number = verdict(reply)
                    if outcome != 'accepted':
                        raise Failure(f'{marker}: {reply}')
                    self.accepted[marker] = number
        except Exception as error:
            self.errors.append(error)
            self._start.abort()
