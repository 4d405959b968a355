"""Builds crash-model: the model disk, and copies of src/spool and src/mailbox in which constants may be smaller (TUNING) or a fault
may be planted (faults.py). Compiler and flags are those of the build as shipped, from its compile_commands.json."""
import json
import os
import shlex
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
COPIED = ('spool', 'mailbox')
LIBRARIES = ('libveredus-ipc.a', 'libveredus-text.a', 'libveredus-base.a')

# With smaller pieces a state costs less, and segments and journals are full sooner. Nothing else depends on these sizes.
TUNING = [
    ('src/spool/logfile.h', '#define LOGFILE_SLICE_BYTES 1048576', '#define LOGFILE_SLICE_BYTES 65536'),
    ('src/spool/reader.h', '#define READER_BYTES_MAX 262144', '#define READER_BYTES_MAX 65536'),
    ('src/spool/recover_journal.c', '#define STATE_PAYLOAD_MAX 262144', '#define STATE_PAYLOAD_MAX 65536'),
]


class BuildError(Exception):
    pass


def replace_once(folder, path, old, new):
    """The text must be there once: else the list was not kept up with the source."""
    name = os.path.join(folder, path)
    try:
        with open(name) as file:
            text = file.read()
    except FileNotFoundError:
        raise BuildError(f'{path} is not there any more') from None
    if text.count(old) != 1:
        raise BuildError(f'{path} has this text {text.count(old)} times, not once:\n{old}')
    with open(name, 'w') as file:
        file.write(text.replace(old, new))


def copy_sources(folder):
    for name in COPIED:
        target = os.path.join(folder, 'src', name)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(os.path.join(ROOT, 'src', name), target)


def sources_of(folder):
    for name in COPIED:
        for file in sorted(os.listdir(os.path.join(folder, 'src', name))):
            if file.endswith('.c') and not file.endswith(('_test.c', '_fuzz.c')):
                yield f'src/{name}/{file}'


class Builder:
    """One set of objects in `folder`; mutants are made beside it and share what is not theirs."""

    def __init__(self, build):
        self.build = os.path.abspath(build)
        self.folder = os.path.join(self.build, 'crash-model')
        self.flags, self.compiler = self.read_flags()

    def read_flags(self):
        with open(os.path.join(self.build, 'compile_commands.json')) as file:
            commands = json.load(file)
        for command in commands:
            if command['file'].endswith('src/spool/spool.c'):
                words = shlex.split(command['command'])
                break
        else:
            raise BuildError('src/spool/spool.c is not in compile_commands.json')
        flags, skip = [], False
        compiler = []
        while words and not words[0].startswith('-'):
            compiler.append(words.pop(0))
        for word in words:
            if skip:
                skip = False
            elif word in ('-o', '-MF', '-MQ'):
                skip = True
            elif word in ('-c', '-MD') or word.endswith('spool.c') or word.startswith('-I') and word.endswith(COPIED):
                pass
            elif word.startswith('-I'):
                flags.append('-I' + os.path.join(self.build, word[2:]))
            else:
                flags.append(word)
        return flags, compiler

    def compile(self, folder, source, object_file):
        # The model runs on no task's stack.
        flags = self.flags + (['-Wno-frame-larger-than'] if source.startswith(HERE) else [])
        includes = ['-I' + os.path.join(folder, 'src'), '-I' + os.path.join(ROOT, 'tests', 'crash')]
        self.run(self.compiler + includes + flags + ['-c', '-o', object_file, source])

    def run(self, command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise BuildError(f'{shlex.join(command)}\n{done.stdout.decode("utf-8", "replace")}')

    def link(self, folder, objects):
        program = os.path.join(folder, 'crash-model')
        libraries = [os.path.join(self.build, library) for library in LIBRARIES]
        self.run(self.compiler + ['-pie', '-o', program] + objects + libraries + ['-lidn2', '-lunistring', '-lpthread'])
        return program

    def objects(self, folder, only=None):
        """Compiles what lies in the folder's src (or `only` these files) and gives all objects of the program."""
        made = []
        for source in sources_of(folder):
            own = os.path.join(folder, source.replace('/', '_')[:-2] + '.o')
            if only is None or source in only:
                self.compile(folder, os.path.join(folder, source), own)
                made.append(own)
            else:
                made.append(os.path.join(self.folder, os.path.basename(own)))
        for file in sorted(os.listdir(HERE)):
            if not file.endswith('.c'):
                continue
            # The workload's own objects see nothing of a fault, unless it is in a header.
            where = folder if only is None else self.folder
            own = os.path.join(where, file[:-2] + '.o')
            if only is None:
                self.compile(folder, os.path.join(HERE, file), own)
            made.append(own)
        return made

    def build_sound(self):
        """The program as it is; its path."""
        os.makedirs(self.folder, exist_ok=True)
        copy_sources(self.folder)
        for path, old, new in TUNING:
            replace_once(self.folder, path, old, new)
        return self.link(self.folder, self.objects(self.folder))

    def build_mutant(self, number, changes):
        """With the changes (path, old, new) in its sources; its path. Needs build_sound first."""
        folder = os.path.join(self.folder, f'mutant-{number}')
        os.makedirs(folder, exist_ok=True)
        copy_sources(folder)
        for path, old, new in TUNING:
            replace_once(folder, path, old, new)
        for path, old, new in changes:
            replace_once(folder, path, old, new)
        headers = any(path.endswith('.h') for path, _, _ in changes)
        return self.link(folder, self.objects(folder, None if headers else {path for path, _, _ in changes}))
