"""What the machine is, and what else it does while something is measured on it."""
import os
import platform

TICKS_PER_S = os.sysconf('SC_CLK_TCK')


def busy_s():
    """Processor time that the whole machine has spent working, in seconds; idle, waiting and stolen not counted."""
    with open('/proc/stat') as f:
        user, nice, system, _, _, irq, softirq = (int(x) for x in f.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS_PER_S


def file_system(path):
    """(type, device) of the file system that holds the path."""
    path = os.path.realpath(path)
    best = ('', '', '')
    with open('/proc/self/mountinfo') as f:
        for line in f:
            fields = line.split()
            mount, dash = fields[4], fields.index('-')
            inside = path == mount or path.startswith(mount.rstrip('/') + '/')
            if inside and len(mount) >= len(best[0]):
                best = (mount, fields[dash + 1], fields[dash + 2])
    return best[1], best[2]


def journal(kind, device):
    """Words on the journal, because a flush costs two to three times as much on a file system that has one."""
    if not kind.startswith('ext'):
        return ''
    name = os.path.basename(os.path.realpath(device))
    try:
        journals = os.listdir('/proc/fs/jbd2')
    except OSError:
        journals = []
    return ' with a journal' if any(j.startswith(name + '-') for j in journals) else ' without a journal'


def describe(folder):
    kind, device = file_system(folder)
    return (f'{os.cpu_count()} cores, Linux {platform.release().split("-")[0]}, '
            f'{kind}{journal(kind, device)} under {folder}')


def is_durable(folder):
    return file_system(folder)[0] not in ('tmpfs', 'ramfs')
