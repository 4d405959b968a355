"""What tests of submission share: a client line by line, `veredus user`, ports by listener."""
import base64
import os
import re
import socket
import ssl
import subprocess

from tap import check

LIMIT_S = 30
NAME = 'mx.veredus.test'
ALICE, PASSWORD = 'alice@local.test', 'Correct-Horse-7-Battery'


def run(*command, text='', codes=(0,)):
    done = subprocess.run(command, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S)
    output = done.stdout.decode('utf-8', 'replace')
    check(done.returncode in codes, f'{" ".join(command)}: exit code {done.returncode}\n{output}')
    return output


def user(server_or_file, *words, text='', codes=(0,)):
    path = server_or_file if isinstance(server_or_file, str) else os.path.join(server_or_file.folder, 'passwords')
    return run(os.path.join(os.environ['VEREDUS_BUILD'], 'veredus'), 'user', *words, '--file', path, text=text, codes=codes)


def log_of(server):
    with open(os.path.join(server.folder, 'stderr'), errors='replace') as file:
        return file.read()


def address_of(server, name):
    pattern = rf'listening name={name} address=(\S+):(\d+)'
    server.wait_until(lambda: re.search(pattern, log_of(server)), LIMIT_S, server.stderr)
    host, port = re.findall(pattern, log_of(server))[-1]
    return host, int(port)


def context(authority):
    made = ssl.create_default_context(cafile=authority.ca)
    made.check_hostname = False
    return made


class Client:
    """A dialogue, line by line."""
    def __init__(self, server, authority, where='submissions', starttls=False):
        self.socket = socket.create_connection(address_of(server, where), LIMIT_S)
        self.authority = authority
        if where == 'submissions':
            self.socket = context(authority).wrap_socket(self.socket)
        self.expect(220)
        if starttls:
            self.say('EHLO c.test', 250)
            self.say('STARTTLS', 220)
            self.socket = context(authority).wrap_socket(self.socket)

    def expect(self, code):
        got = b''
        while not re.search(rb'(^|\n)\d{3} [^\n]*\n$', got):
            piece = self.socket.recv(4096)
            check(piece, f'closed after {got!r}')
            got += piece
        check(got.startswith(str(code).encode()), f'{code} expected: {got!r}')
        return got.decode()

    def say(self, line, code):
        self.socket.sendall((line if isinstance(line, bytes) else line.encode()) + b'\r\n')
        return self.expect(code)

    def login(self, login=ALICE, password=PASSWORD, code=235):
        return self.say('AUTH PLAIN ' + encode(f'\0{login}\0{password}'), code)


def encode(text):
    return base64.b64encode(text.encode()).decode()
