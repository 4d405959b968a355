"""A mail server that can TLS, well or badly: each connection in a thread of its own.

    with Peer(certificate='good.pem', key='good.key') as peer: ... peer.port, peer.messages ...
"""
import socket
import ssl
import threading

LIMIT_S = 20


class Peer:
    def __init__(self, certificate=None, key=None, implicit=False, offers=True, fault='', versions=None, host='127.0.0.1', auth=None, auth_replies=()):
        """`fault`: what goes wrong: refuse (454), inject (a reply behind the 220), cut, garbage or hang in place of the handshake, half
        (the handshake, then the end), plain (`messages` only over TLS). `auth`: the mechanisms offered under TLS; `auth_replies`: what is said to
        AUTH and to each line behind it (None: nothing, and the end)."""
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate, key)
            if versions:
                self.context.minimum_version, self.context.maximum_version = versions
            self.context.sni_callback = self._note_name
        self.implicit, self.offers, self.fault = implicit, offers, fault
        self.auth, self.auth_replies = auth, auth_replies
        self.messages = []  # (the name asked for or None, TLS version or None, content)
        self.hellos = []  # TLS version or None, at each EHLO
        self.names = []
        self.connections = 0
        self._listener = socket.create_server((host, 0))
        self.port = self._listener.getsockname()[1]
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def _note_name(self, _, name, __):
        self.names.append(name)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        # A thread that waits in accept would, interrupted, wait on for whatever socket has this number next.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(LIMIT_S)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.settimeout(LIMIT_S)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            self._talk(connection)
        except OSError:
            pass
        finally:
            connection.close()

    def _handshake(self, connection):
        if self.fault == 'cut':
            connection.recv(3)
            return None
        if self.fault == 'garbage':
            connection.recv(65536)  # sent before, it might come together with the 220
            connection.sendall(b'250 what is this?\r\n' * 20)
            return None
        if self.fault == 'hang':
            self._ends.wait(LIMIT_S)
            return None
        made = self.context.wrap_socket(connection, server_side=True)
        return None if self.fault == 'half' else made

    def _talk(self, connection):
        if self.implicit:
            connection = self._handshake(connection)
            if connection is None:
                return
        version = connection.version() if isinstance(connection, ssl.SSLSocket) else None
        file = connection.makefile('rb')
        say = lambda text: connection.sendall(text.encode() + b'\r\n')  # noqa: E731
        say('220 peer.test ESMTP')
        while line := file.readline():
            verb = line.split()[0].upper() if line.split() else b''
            if verb in (b'EHLO', b'LHLO'):
                self.hellos.append(version)
                say('250-peer.test\r\n250-PIPELINING\r\n250-8BITMIME' + ('\r\n250-STARTTLS' if self.offers and not version else '')
                    + (f'\r\n250-AUTH {self.auth}' if self.auth and version else '') + '\r\n250 HELP')
            elif verb == b'STARTTLS' and self.fault == 'refuse':
                say('454 4.7.0 not now')
            elif verb == b'STARTTLS':
                say('220 2.0.0 go ahead' + ('\r\n250 evil.test' if self.fault == 'inject' else ''))
                connection = self._handshake(connection)
                if connection is None:
                    return
                version = connection.version()
                file = connection.makefile('rb')
            elif verb == b'AUTH':
                for reply in self.auth_replies:
                    if reply is None:
                        return
                    say(reply)
                    if reply.startswith('334') and not file.readline():
                        return
            elif verb == b'DATA':
                say('354 go on')
                content = b''
                while (line := file.readline()) not in (b'.\r\n', b''):
                    content += line
                if line:
                    self.messages.append((self.names[-1] if self.names and version else None, version, content))
                    say('250 2.0.0 taken')
            elif verb == b'QUIT':
                say('221 2.0.0 bye')
                return
            else:
                say('250 2.1.0 fine')
