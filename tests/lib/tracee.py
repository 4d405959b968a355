"""A process under ptrace, made to do system calls of our choice: what its filters answer is what an attacker inside it would get.
For x86-64, and for a tester whom the kernel allows to trace it (root)."""
import ctypes
import errno
import os
import platform
import re
import signal
import time

GETREGS, SETREGS, CONT, SINGLESTEP, ATTACH, DETACH = 12, 13, 7, 9, 16, 17
WALL = 0x40000000
WAIT_S = 10
STACK_GAP = 1024  # below the red zone, still on the stack
REGISTERS = ('r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8', 'rax', 'rcx', 'rdx', 'rsi', 'rdi', 'orig_rax', 'rip', 'cs',
             'eflags', 'rsp', 'ss', 'fs_base', 'gs_base', 'ds', 'es', 'fs', 'gs')
CALLS = {name: number for name, number in (
    ('mmap', 9), ('mprotect', 10), ('ioctl', 16), ('pwrite64', 18), ('socket', 41), ('connect', 42), ('sendto', 44), ('sendmsg', 46),
    ('shutdown', 48), ('bind', 49), ('listen', 50), ('setsockopt', 54), ('getsockopt', 55), ('clone', 56), ('fork', 57), ('execve', 59),
    ('kill', 62), ('fcntl', 72), ('unlink', 87), ('ptrace', 101), ('setuid', 105), ('chroot', 161), ('tgkill', 234), ('openat', 257), ('unshare', 272), ('accept4', 288),
    ('memfd_create', 319), ('bpf', 321), ('io_uring_setup', 425))}
INSTRUCTIONS = {'syscall': b'\x0f\x05', 'int 0x80': b'\xcd\x80'}

supported = platform.machine() == 'x86_64'
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in REGISTERS]


def ptrace(request, pid, data=None):
    if libc.ptrace(ctypes.c_long(request), ctypes.c_long(pid), None, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Killed(Exception):
    """The process was ended by this signal."""

    def __init__(self, number):
        super().__init__(f'killed by {signal.Signals(number).name}')
        self.signal = number


class Tracee:
    """with Tracee(pid) as tracee: tracee.call('socket', 2, 1, 0): a number, negative for an errno; raises Killed."""

    def __init__(self, pid):
        self.pid = pid
        ptrace(ATTACH, pid)
        self.alive = True
        self._wait(signal.SIGSTOP, CONT)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.alive:
            ptrace(DETACH, self.pid)

    def _wait(self, expected, resume):
        """The kernel reports the end of a main thread only when no other thread lives: the wait must end, too. The watchdog's signal may
        come first: it is dropped, for nothing but the wanted call shall run."""
        deadline = time.monotonic() + WAIT_S
        pid, status = os.waitpid(self.pid, WALL | os.WNOHANG)
        while pid == 0 or (os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGURG):
            if pid != 0:
                ptrace(resume, self.pid)
            if time.monotonic() > deadline:
                self.alive = False
                raise TimeoutError(f'{self.pid} neither stops nor ends')
            time.sleep(0.001)
            pid, status = os.waitpid(self.pid, WALL | os.WNOHANG)
        if os.WIFSIGNALED(status) or os.WIFEXITED(status):
            self.alive = False
            raise Killed(os.WTERMSIG(status))
        if os.WSTOPSIG(status) != expected:
            raise OSError(errno.EIO, f'stopped by {os.WSTOPSIG(status)}')

    def _instruction(self, octets):
        """Where libc has one; what it has not is written over one that it has, in this process alone."""
        with open(f'/proc/{self.pid}/maps') as maps:
            regions = [line.split('-', 1) for line in maps if re.search(r' r-xp .*/libc\.so', line)]
        start, end = int(regions[0][0], 16), int(regions[0][1].split()[0], 16)
        with open(f'/proc/{self.pid}/mem', 'r+b', buffering=0) as memory:
            memory.seek(start)
            place = start + memory.read(end - start).index(INSTRUCTIONS['syscall'])
            if octets != INSTRUCTIONS['syscall']:
                memory.seek(place)
                memory.write(octets)
        return place

    def call(self, name, *arguments, number=None, instruction='syscall'):
        """Texts among the arguments become pointers to them."""
        saved, registers = Registers(), Registers()
        ptrace(GETREGS, self.pid, ctypes.byref(saved))
        ctypes.memmove(ctypes.byref(registers), ctypes.byref(saved), ctypes.sizeof(saved))
        place = saved.rsp - STACK_GAP
        for register, value in zip(('rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'), arguments):
            if isinstance(value, str):
                octets = value.encode() + b'\0'
                place -= len(octets)
                with open(f'/proc/{self.pid}/mem', 'r+b', buffering=0) as memory:
                    memory.seek(place)
                    memory.write(octets)
                value = place
            setattr(registers, register, value & (2 ** 64 - 1))
        registers.rax = CALLS[name] if number is None else number
        registers.orig_rax = 2 ** 64 - 1
        registers.rip = self._instruction(INSTRUCTIONS[instruction])
        ptrace(SETREGS, self.pid, ctypes.byref(registers))
        ptrace(SINGLESTEP, self.pid)
        self._wait(signal.SIGTRAP, SINGLESTEP)
        ptrace(GETREGS, self.pid, ctypes.byref(registers))
        ptrace(SETREGS, self.pid, ctypes.byref(saved))
        return ctypes.c_longlong(registers.rax).value
