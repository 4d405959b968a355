"""Reading the Maildirs that a server fills, and telling what it added to a message from what was sent."""
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor

from tap import Failure

TRACE_FIELDS = (b'return-path', b'delivered-to', b'received')
REMOVERS = 16
QUEUE_ID = re.compile(r'(?<![0-9a-z])[0-9a-v]{13}(?![0-9a-z])')


class Maildir:
    def __init__(self, path):
        self.path = path

    def _list(self, folder):
        try:
            return sorted(os.path.join(self.path, folder, name) for name in os.listdir(os.path.join(self.path, folder)))
        except FileNotFoundError:
            return []

    def files(self):
        return self._list('new') + self._list('cur')

    def unfinished(self):
        return self._list('tmp')

    def wait(self, count, seconds=10, ignoring=()):
        """Waits for `count` files beside those of `ignoring`; more than that fails as well as less."""
        deadline = time.monotonic() + seconds
        while True:
            files = [path for path in self.files() if path not in ignoring]
            if len(files) > count or (len(files) < count and time.monotonic() > deadline):
                raise Failure(f'{len(files)} messages in {self.path}, expected {count}')
            if len(files) == count:
                return files
            time.sleep(0.01)


def remove(paths):
    """Removes many files. Several at a time: a file system that discards freed blocks takes milliseconds for each."""
    with ThreadPoolExecutor(REMOVERS) as pool:
        list(pool.map(os.unlink, paths))


def queue_id_of_name(path):
    """The id in a Maildir file's name, or None."""
    found = QUEUE_ID.search(os.path.basename(path))
    return found.group(0) if found else None


def split_trace(stored, more=()):
    """(trace header fields, content): the fields at the top that the server writes, and what follows them. `more`: other field names."""
    names = TRACE_FIELDS + tuple(more)
    end = 0
    inside = False
    for line in stored.splitlines(keepends=True):
        if not (inside and line[:1] in b' \t'):
            inside = line.split(b':')[0].lower() in names and b':' in line
        if not inside or line == b'\n':
            break
        end += len(line)
    return stored[:end], stored[end:]


def read(path):
    with open(path, 'rb') as file:
        return file.read()


def as_stored(sent):
    """The form in which a Maildir keeps content: CRLF became LF, and a last line got its end."""
    expected = sent.replace(b'\r\n', b'\n')
    return expected if not expected or expected.endswith(b'\n') else expected + b'\n'


def same_content(stored, sent):
    """Whether a stored file is trace header fields and then exactly what was sent, behind an empty line if that begins with no field."""
    expected = as_stored(sent)
    if not re.match(rb'\n|[!-9;-~]+[ \t]*:', expected):
        expected = b'\n' + expected
    head = stored[:len(stored) - len(expected)]
    return stored.endswith(expected) and split_trace(head)[1] == b''
