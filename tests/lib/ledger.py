"""The outside ledger: what clients sent and what they were told, against what lies in the Maildirs.

Every message carries a marker, and a checksum of its body, in its header. Each try to send it ends as

    accepted   250 with a queue id: under that id it must lie in the Maildir of each recipient, exactly once
    unknown    the client saw no reply, or 451 or 421, after it began to send content to its end: it may lie there, once
    refused    nothing may lie there

A client sends a message again after `unknown` and `refused`; so copies under several ids are allowed, as many as there were accepted and
unknown tries, and counted as duplicates. Anything else is a finding: lost, damaged, doubled (one id twice in a mailbox), stray.
"""
import hashlib
import json
import threading

import maildir

FINDINGS = ('lost', 'damaged', 'doubled', 'stray', 'rejected')


class Entry:
    def __init__(self, marker, recipients):
        self.marker = marker
        self.recipients = recipients
        self.accepted = []
        self.unknown = 0
        self.refused = 0
        self.found = {recipient: set() for recipient in recipients}

    def missing(self):
        return [(recipient, number) for recipient in self.recipients for number in self.accepted if number not in self.found[recipient]]

    def duplicates(self):
        return sum(max(0, len(ids) - 1) for ids in self.found.values())


class Ledger:
    def __init__(self, path):
        self.entries = {}
        self.findings = {kind: [] for kind in FINDINGS}
        self.examined = set()
        self.given_up = set()
        self._lock = threading.Lock()
        self._file = open(path, 'a', buffering=1)

    def close(self):
        self._file.close()

    def note(self, **event):
        self._file.write(json.dumps(event) + '\n')

    # -- clients

    def begin(self, marker, recipients):
        with self._lock:
            self.entries[marker] = Entry(marker, recipients)
            self.note(marker=marker, to=recipients)

    def end(self, marker, outcome, text, number=None):
        with self._lock:
            entry = self.entries[marker]
            if outcome == 'accepted':
                entry.accepted.append(number)
            elif outcome == 'unknown':
                entry.unknown += 1
            else:
                entry.refused += 1
            if outcome == 'rejected':
                self.findings['rejected'].append(f'{marker}: {text}')
            self.note(marker=marker, outcome=outcome, reply=text)

    def totals(self):
        with self._lock:
            entries = list(self.entries.values())
        return {'messages': len(entries), 'accepted': sum(len(e.accepted) for e in entries), 'unknown': sum(e.unknown for e in entries),
                'refused': sum(e.refused for e in entries), 'delivered': sum(len(ids) for e in entries for ids in e.found.values()),
                'duplicates': sum(e.duplicates() for e in entries)}

    # -- judgement; clients must be quiet

    def examine(self, address, path):
        """Looks at one delivered file, once."""
        if path in self.examined:
            return
        try:
            octets = maildir.read(path)
        except FileNotFoundError:
            return
        self.examined.add(path)
        marker, whole = parse(octets)
        number = maildir.queue_id_of_name(path)
        entry = self.entries.get(marker)
        if entry is None or address not in entry.found:
            self.findings['stray'].append(f'{path}: marker {marker}')
        elif number in entry.found[address]:
            self.findings['doubled'].append(f'{path}: marker {marker}')
        else:
            entry.found[address].add(number)
            if not whole:
                self.findings['damaged'].append(f'{path}: marker {marker}')

    def missing(self):
        """What was accepted, has not arrived, and has not been called lost yet."""
        return [(entry.marker, *where) for entry in self.entries.values() for where in entry.missing()
                if (entry.marker, *where) not in self.given_up]

    def conclude(self):
        """Everything that should have arrived had its time: records what is lost and what nobody sent. Repeats nothing."""
        for marker, recipient, number in self.missing():
            self.given_up.add((marker, recipient, number))
            self._find('lost', f'{marker} to {recipient}, queued as {number}')
        for entry in self.entries.values():
            for recipient, ids in entry.found.items():
                if len(ids - set(entry.accepted)) > entry.unknown:
                    self._find('stray', f'{entry.marker} to {recipient}: ids {sorted(ids)}, accepted {entry.accepted}, unknown {entry.unknown}')

    def _find(self, kind, text):
        if text not in self.findings[kind]:
            self.findings[kind].append(text)

    def failed(self):
        return sum(len(found) for found in self.findings.values())


def compose(marker, sender, recipient, body):
    """A message with its marker and checksum; `body` has CRLF line ends."""
    checksum = hashlib.sha256(body.replace(b'\r\n', b'\n')).hexdigest()
    head = (f'From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: torture {marker}\r\n'
            f'X-Marker: {marker}\r\nX-Checksum: {checksum}\r\n\r\n')
    return head.encode() + body


def parse(octets):
    """(marker or None, whether the body is what the checksum says)"""
    head, _, body = octets.partition(b'\n\n')
    fields = dict(line.split(b': ', 1) for line in head.split(b'\n') if b': ' in line)
    marker = fields.get(b'X-Marker')
    whole = fields.get(b'X-Checksum') == hashlib.sha256(body).hexdigest().encode()
    return marker.decode('ascii', 'replace') if marker else None, whole
