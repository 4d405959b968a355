"""An SMTP client that hides nothing: what is sent is what the test says, replies come back as lists of lines."""
import socket
import time


class Closed(Exception):
    """The server ended the connection. `partial` is what it sent after the last whole line."""

    def __init__(self, partial=b''):
        super().__init__(f'connection closed by the server{" after " + repr(partial) if partial else ""}')
        self.partial = partial


class Client:
    def __init__(self, address, deadline_s=10):
        self.socket = socket.create_connection(address, deadline_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.deadline_s = deadline_s
        self._input = b''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, octets, piece=0, pause_s=0.002):
        """Sends them in pieces of `piece` octets, each a segment of its own as far as a client can see to that."""
        if not piece:
            self.socket.sendall(octets)
            return
        for start in range(0, len(octets), piece):
            self.socket.sendall(octets[start:start + piece])
            time.sleep(pause_s)

    def line(self):
        """The next line without its CRLF; a line that ends otherwise keeps what it ends with, so that it matches nothing."""
        deadline = time.monotonic() + self.deadline_s
        while b'\n' not in self._input:
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                octets = self.socket.recv(65536)
            except ConnectionError:
                octets = b''
            if not octets:
                raise Closed(self._input)
            self._input += octets
        line, self._input = self._input.split(b'\n', 1)
        return (line[:-1] if line.endswith(b'\r') else line + b'\n').decode('utf-8', 'backslashreplace')

    def reply(self):
        """A whole reply: its lines."""
        lines = [self.line()]
        while lines[-1][3:4] == '-':
            lines.append(self.line())
        return lines

    def command(self, text):
        """Sends one line, returns the reply's last line."""
        self.send(text.encode() + b'\r\n')
        return self.reply()[-1]

    def wait_closed(self):
        """Reads to the end of the connection; what still came."""
        rest, self._input = self._input, b''
        self.socket.settimeout(self.deadline_s)
        while True:
            try:
                octets = self.socket.recv(65536)
            except ConnectionError:
                return rest
            if not octets:
                return rest
            rest += octets

    def greet(self, name='client.test'):
        """Reads the greeting and says EHLO; the extensions' lines."""
        greeting = self.reply()
        if not greeting[-1].startswith('220'):
            raise Refused(greeting[-1])
        return self.accepted([f'EHLO {name}'])[0]

    def accepted(self, commands, code='2'):
        """Sends commands, one after the other; each reply must begin with `code`. The replies."""
        replies = []
        for text in commands:
            self.send(text.encode() + b'\r\n')
            replies.append(self.reply())
            if not replies[-1][-1].startswith(code):
                raise Refused(f'{text[:80]}: {replies[-1][-1]}')
        return replies

    def envelope(self, sender, recipients):
        self.accepted([f'MAIL FROM:<{sender}>'] + [f'RCPT TO:<{recipient}>' for recipient in recipients])
        self.accepted(['DATA'], '354')

    def content(self, octets):
        """Sends content (CRLF lines) and its end; the reply."""
        self.send(stuffed(octets))
        return self.reply()[-1]


class Refused(Exception):
    """A reply that a client which wants to send a message does not want."""


def stuffed(octets):
    """Content as DATA carries it: dots doubled at the start of lines, the last line ended, then the end of data."""
    if octets and not octets.endswith(b'\r\n'):
        octets += b'\r\n'
    octets = octets.replace(b'\r\n.', b'\r\n..')
    if octets.startswith(b'.'):
        octets = b'.' + octets
    return octets + b'.\r\n'
