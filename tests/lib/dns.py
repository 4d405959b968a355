"""A DNS server of the tests' own on a free port of loopback, by UDP and TCP: what its zone holds, and each way of failing.

    with Dns({'example.test': [('A', '192.0.2.1'), ('MX', (10, 'mx.example.test')), ('TXT', 'v=spf1 -all')],
              'slow.test': TIMEOUT, 'broken.test': SERVFAIL}) as dns:
        dns.address      # '127.0.0.1:40123'
        dns.questions    # [('example.test', 'MX'), ...] as they came

A name that stands nowhere is NXDOMAIN, unless another one lies below it. Texts are str (UTF-8) or bytes, or a list of them: the strings
of one record. `ttl` holds for all. What is asked for by UDP and does not fit 1,232 octets (or what the client says it takes) is cut.
"""
import ipaddress
import socket
import struct
import threading

TYPES = {'A': 1, 'NS': 2, 'CNAME': 5, 'SOA': 6, 'PTR': 12, 'MX': 15, 'TXT': 16, 'AAAA': 28, 'SRV': 33, 'TLSA': 52}
NAMES = {number: name for name, number in TYPES.items()}
TIMEOUT, SERVFAIL, REFUSED = 'timeout', 'servfail', 'refused'
SOA = b'\0\0' + struct.pack('>5L', 1, 60, 60, 60, 60)


def octets(text):
    return text.encode('utf-8', 'surrogateescape') if isinstance(text, str) else text


def wire_name(name):
    labels = [octets(label) for label in name.rstrip('.').split('.')] if name.rstrip('.') else []
    return b''.join(bytes([len(label)]) + label for label in labels) + b'\0'


def wire_data(kind, value):
    if kind == 'A' or kind == 'AAAA':
        return ipaddress.ip_address(value).packed
    if kind == 'MX':
        return struct.pack('>H', int(value[0])) + wire_name(value[1])
    if kind == 'SRV':
        return struct.pack('>HHH', *value[:3]) + wire_name(value[3])
    if kind == 'TXT':
        pieces = []
        for text in value if isinstance(value, (list, tuple)) else [value]:
            text = octets(text)
            pieces += [text[at:at + 255] for at in range(0, len(text), 255)] or [b'']
        return b''.join(bytes([len(piece)]) + piece for piece in pieces)
    if kind == 'TLSA':
        return bytes(value[:3]) + value[3]
    return wire_name(value)


def read_question(message):
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]])
        at += 1 + message[at]
    kind, = struct.unpack('>H', message[at + 1:at + 3])
    return b'.'.join(labels).decode('utf-8', 'surrogateescape'), kind, at + 5


class Dns:
    def __init__(self, zone, ttl=60):
        self.zone = {name.lower().rstrip('.'): records for name, records in zone.items()}
        self.ttl = ttl
        self.questions = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        while True:
            self.udp.bind(('127.0.0.1', 0))
            try:
                self.tcp.bind(self.udp.getsockname())
                break
            except OSError:
                self.udp.close()
                self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp.listen(64)
        self.port = self.udp.getsockname()[1]
        self.address = f'127.0.0.1:{self.port}'
        self.ended = False
        self.serving = [threading.Thread(target=serve, daemon=True) for serve in (self.serve_udp, self.serve_tcp)]
        for thread in self.serving:
            thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """A thread that waits in a call would, interrupted, wait on for whatever socket has this number next: both end first."""
        self.ended = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b'', self.udp.getsockname())
        self.tcp.shutdown(socket.SHUT_RDWR)
        for thread in self.serving:
            thread.join()
        self.udp.close()
        self.tcp.close()

    def lookup(self, name, kind):
        """(rcode, [(owner, kind, data)]); None: say nothing."""
        answers = []
        for _ in range(20):
            records = self.zone.get(name.lower())
            if records is None:
                below = any(other.endswith('.' + name.lower()) for other in self.zone)
                return (0 if below or answers else 3), answers
            if records == TIMEOUT:
                return None
            if records in (SERVFAIL, REFUSED):
                return (2 if records == SERVFAIL else 5), []
            if ('TIMEOUT', kind) in records and not any(k == kind for k, _ in records):
                return None
            answers += [(name, kind, wire_data(kind, value)) for k, value in records if k == kind]
            alias = next((value for k, value in records if k == 'CNAME'), None)
            if alias is None or kind == 'CNAME':
                return 0, answers
            answers.append((name, 'CNAME', wire_data('CNAME', alias)))
            name = alias.rstrip('.')
        return 0, answers

    def answer(self, message, size):
        name, number, end = read_question(message)
        kind = NAMES.get(number, '?')
        self.questions.append((name, kind))
        found = self.lookup(name, kind)
        if found is None:
            return None
        rcode, answers = found
        body = b''.join(wire_name(owner) + struct.pack('>HHLH', TYPES[k], 1, self.ttl, len(data)) + data for owner, k, data in answers)
        authority = b'' if answers else b'\0' + struct.pack('>HHLH', 6, 1, self.ttl, len(SOA)) + SOA
        flags = 0x8180 | rcode
        if end + len(body) + len(authority) > size:
            flags, body, authority, answers = flags | 0x0200, b'', b'', []
        head = message[:2] + struct.pack('>HHHHH', flags, 1, len(answers), 1 if authority else 0, 0)
        return head + message[12:end] + body + authority

    def serve_udp(self):
        while not self.ended:
            try:
                message, peer = self.udp.recvfrom(4096)
                answer = self.answer(message, 1232)
                if answer:
                    self.udp.sendto(answer, peer)
            except OSError:
                return
            except (IndexError, struct.error):
                continue

    def serve_tcp(self):
        while True:
            try:
                client, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self.serve_client, args=(client,), daemon=True).start()

    def serve_client(self, client):
        with client, client.makefile('rb') as file:
            while True:
                head = file.read(2)
                if len(head) < 2:
                    return
                answer = self.answer(file.read(struct.unpack('>H', head)[0]), 65535)
                if answer:
                    client.sendall(struct.pack('>H', len(answer)) + answer)
