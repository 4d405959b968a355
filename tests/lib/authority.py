"""Certificates in a folder, made by the openssl command and signed by one of their own."""
import os
import subprocess

LIMIT_S = 20


class Authority:
    def __init__(self, folder):
        self.folder = folder
        self.ca = self.path('ca.pem')
        self._openssl('req', '-x509', *self.kind('ec'), '-nodes', '-keyout', self.path('ca.key'), '-out', self.ca, '-days', '30', '-subj',
                      '/CN=Test Authority')

    def path(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def kind(kind):
        return ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256') if kind == 'ec' else ('-newkey', 'rsa:2048')

    @staticmethod
    def _openssl(*arguments):
        subprocess.run(('openssl',) + arguments, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT_S)

    def make(self, name, kind, names, days=20, is_signed=True):
        """NAME.pem and NAME.key for a list of names ("DNS:..." or "IP:..."), put in place by rename. With -days 0 it has expired at once."""
        with open(self.path('extensions'), 'w') as file:
            file.write(f'subjectAltName={",".join(names)}\nbasicConstraints=CA:FALSE\n')
        subject = names[0].split(':', 1)[1]
        self._openssl('req', '-new', *self.kind(kind), '-nodes', '-keyout', self.path('new.key'), '-out', self.path('request'), '-subj', f'/CN={subject}')
        by = ('-CA', self.ca, '-CAkey', self.path('ca.key'), '-CAcreateserial') if is_signed else ('-signkey', self.path('new.key'))
        self._openssl('x509', '-req', '-in', self.path('request'), *by, '-days', str(days), '-out', self.path('new.pem'), '-extfile', self.path('extensions'))
        os.chmod(self.path('new.key'), 0o600)
        os.rename(self.path('new.key'), self.path(name + '.key'))
        os.rename(self.path('new.pem'), self.path(name + '.pem'))

    def block(self, name):
        return f'certificate {name} {{ chain {self.path(name + ".pem")} key {self.path(name + ".key")} }}'
