"""gdb commands for the tasks of a Veredus process, live or as a core file.

    gdb -p PID -x tools/gdb/veredus.py          (gdb 11 or later; the program with its debug information)

    veredus-tasks            every task: number, name, state, time since it stopped running, deadline, stack use, where it waits
    veredus-task-bt N [...]  the backtrace of task N; what follows goes to gdb's own `backtrace` (full, 5, -past-main ...)
    veredus-task-bt all      of every task

Nothing is written to the process: no register and no memory. A parked task is shown by an unwinder that calls its saved registers the
caller of whatever the selected thread does, so frame #0 is the thread's own; it is left out of what is printed.

Relies on struct task and struct loop (src/task/task.c) and on the order in which switch_stacks saves registers (src/task/switch.c).
"""
import time

import gdb
import gdb.unwinder

# Functions in which every task stands: they say nothing about what it does or waits for.
EVERYWHERE = ('switch_stacks', 'switch_registers', 'switch_to', 'task_park', 'task_entry', 'switch_trampoline')
SHOWN_FUNCTIONS = 4
US_PER_S = 1000000

# Architecture: name of the stack pointer, octets that switch_stacks takes from the stack, where each register lies in them.
X86_64 = ('rsp', 56, {'r15': 0, 'r14': 8, 'r13': 16, 'r12': 24, 'rbx': 32, 'rbp': 40, 'rip': 48})
AARCH64 = ('sp', 160, dict({f'x{n}': (n - 19) * 8 for n in range(19, 31)}, pc=88))


def layout():
    name = gdb.selected_inferior().architecture().name()
    if name.startswith('i386:x86-64'):
        return X86_64
    if name.startswith('aarch64'):
        return AARCH64
    raise gdb.GdbError(f'veredus: this script does not know how tasks are switched on {name}')


def word_at(address):
    return gdb.Value(address).cast(gdb.lookup_type('unsigned long').pointer()).dereference()


class FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class TaskUnwinder(gdb.unwinder.Unwinder):
    """Does nothing unless `stack_pointer` is set to that of a parked task."""

    def __init__(self):
        super().__init__('veredus-task')
        self.stack_pointer = None

    def __call__(self, pending_frame):
        if self.stack_pointer is None or pending_frame.level() != 0:
            return None
        name, size, registers = layout()
        ulong = gdb.lookup_type('unsigned long')
        stack_pointer = gdb.Value(self.stack_pointer).cast(ulong)
        info = pending_frame.create_unwind_info(FrameId(stack_pointer, pending_frame.read_register('pc')))
        info.add_saved_register(name, gdb.Value(self.stack_pointer + size).cast(ulong))
        for register, offset in registers.items():
            info.add_saved_register(register, word_at(self.stack_pointer + offset))
        return info


class OnTask:
    """with OnTask(task): the frames above #0 of the selected thread are those of this task. A running task has the thread itself."""

    unwinder = None

    def __init__(self, task):
        self.task = task

    def __enter__(self):
        self.thread = gdb.selected_thread()
        self.frame = gdb.selected_frame()
        if self.task.is_running():
            self.task.thread.switch()
        else:
            OnTask.unwinder.stack_pointer = self.task.stack_pointer()
        gdb.invalidate_cached_frames()

    def __exit__(self, kind, value, trace):
        level = self.frame.level() if self.frame.is_valid() else 0
        OnTask.unwinder.stack_pointer = None
        gdb.invalidate_cached_frames()
        self.thread.switch()
        gdb.execute(f'frame {level}', to_string=True)


class Task:
    def __init__(self, value, thread, now):
        self.value = value
        self.thread = thread # of its loop
        self.now = now
        self.name = value['name'].string()

    def state(self):
        return str(self.value['state']).removeprefix('TASK_').lower()

    def is_running(self):
        return self.state() == 'running'

    def stack_pointer(self):
        return int(self.value['context']['stack_pointer'])

    def stack_used(self):
        if self.is_running():
            return None
        stack = self.value['stack']
        return int(stack['low']) + int(stack['bytes']) - self.stack_pointer()

    def parked_s(self):
        return (self.now - int(self.value['parked_at'])) / US_PER_S if self.state() == 'waiting' else None

    def deadline_s(self):
        timer = self.value['timer']
        if self.state() != 'waiting' or int(timer['position']) == 0:
            return None
        return (int(timer['key']) - self.now) / US_PER_S

    def functions(self):
        """Names of the functions it stands in, the innermost first, without those of every task."""
        names = []
        with OnTask(self):
            frame = gdb.newest_frame()
            if not self.is_running():
                frame = frame.older()
            while frame and len(names) < SHOWN_FUNCTIONS:
                if frame.name() not in EVERYWHERE:
                    names.append(frame.name() or '?')
                frame = frame.older()
        return names


def each_link(head):
    link = head['next']
    while link != head.address:
        yield link
        link = link.dereference()['next']


def entry(link, type_name, member):
    """list_entry() of base/list.h."""
    kind = gdb.lookup_type(type_name)
    offset = next(field.bitpos // 8 for field in kind.fields() if field.name == member)
    return gdb.Value(int(link) - offset).cast(kind.pointer()).dereference()


def variables(frame):
    """Values of the arguments and locals of a frame that can be read."""
    try:
        block = frame.block()
    except RuntimeError:
        return
    while block and not block.is_global and not block.is_static:
        for symbol in block:
            if symbol.is_argument or symbol.is_variable:
                try:
                    value = symbol.value(frame) if symbol.needs_frame else symbol.value()
                    if not value.is_optimized_out:
                        value.fetch_lazy()
                        yield value
                except (gdb.error, RuntimeError):
                    pass
        block = block.superblock


def loop_of(value):
    """The loop that a variable leads to: a loop, or a task, in its own type; None for all others."""
    kind = value.type.strip_typedefs()
    if kind.code != gdb.TYPE_CODE_PTR or int(value) == 0:
        return None
    target = kind.target().unqualified().strip_typedefs()
    if target.code != gdb.TYPE_CODE_STRUCT:
        return None
    if target.tag == 'loop':
        return value.dereference()
    return value['loop'].dereference() if target.tag == 'task' else None


def is_loop(loop):
    """Whether the memory looks like one: a ring of tasks that name this loop."""
    try:
        head = loop['tasks']
        return all(entry(link, 'struct task', 'all')['loop'] == loop.address for link in each_link(head))
    except gdb.error:
        return False


def loop_of_thread(thread):
    thread.switch()
    frame = gdb.newest_frame()
    while frame:
        for value in variables(frame):
            loop = loop_of(value)
            if loop is not None and is_loop(loop):
                return loop
        frame = frame.older()
    return None


def present(loop):
    """The monotonic clock now; in a core file, on another machine or with a virtual clock: as of the loop's last turn."""
    inferior = gdb.selected_inferior()
    clock = str(loop['env']['clock']['monotonic'])
    if inferior.pid == 0 or inferior.connection is None or inferior.connection.type != 'native' or '<linux_monotonic>' not in clock:
        return int(loop['now'])
    return time.monotonic_ns() // 1000


def all_tasks():
    """Every task of every loop, in the order in which they were started."""
    selected = gdb.selected_thread()
    if selected is None:
        raise gdb.GdbError('veredus: there is no process; attach to one (gdb -p PID) or open a core file')
    level = gdb.selected_frame().level()
    tasks = []
    seen = set()
    try:
        for thread in sorted(gdb.selected_inferior().threads(), key=lambda thread: thread.num):
            loop = loop_of_thread(thread)
            if loop is None or int(loop.address) in seen:
                continue
            seen.add(int(loop.address))
            now = present(loop)
            tasks += [Task(entry(link, 'struct task', 'all'), thread, now) for link in each_link(loop['tasks'])]
    finally:
        selected.switch()
        gdb.execute(f'frame {level}', to_string=True)
    if not seen:
        raise gdb.GdbError('veredus: no thread of this process runs a loop of tasks, or its debug information is missing')
    return tasks


def seconds(value):
    return '-' if value is None else f'{value:.1f} s'


def pick(tasks, text):
    if not text.isdigit() or not 1 <= int(text) <= len(tasks):
        raise gdb.GdbError(f'veredus: there is no task "{text}"; veredus-tasks lists numbers from 1 to {len(tasks)}')
    return tasks[int(text) - 1]


class Tasks(gdb.Command):
    """veredus-tasks: lists every task of the process.

Columns: number; name; state; time since it stopped running; time left until its wait ends by itself; octets of its stack in use; the
functions it stands in, the innermost first."""

    def __init__(self):
        super().__init__('veredus-tasks', gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        print(f'{"N":>4}  {"name":<16} {"state":<8} {"parked":>9} {"deadline":>9} {"stack":>6}  in')
        for number, task in enumerate(all_tasks(), 1):
            used = task.stack_used()
            print(f'{number:>4}  {task.name:<16} {task.state():<8} {seconds(task.parked_s()):>9} {seconds(task.deadline_s()):>9} '
                  f'{"-" if used is None else used:>6}  {" < ".join(task.functions())}')


class TaskBacktrace(gdb.Command):
    """veredus-task-bt N [ARGUMENTS OF backtrace]: the backtrace of task N of veredus-tasks, or of `all`."""

    def __init__(self):
        super().__init__('veredus-task-bt', gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = argument.split(None, 1)
        if not words:
            raise gdb.GdbError('veredus: say which: veredus-task-bt N, or veredus-task-bt all')
        tasks = all_tasks()
        chosen = tasks if words[0] == 'all' else [pick(tasks, words[0])]
        for task in chosen:
            print(f'task {tasks.index(task) + 1} "{task.name}", {task.state()}')
            self.show(task, words[1] if len(words) > 1 else '')

    @staticmethod
    def show(task, arguments):
        with OnTask(task):
            text = gdb.execute(f'backtrace {arguments}', to_string=True)
        at = text.find('\n#1 ') + 1
        print(text if task.is_running() or at == 0 else text[at:], end='')


OnTask.unwinder = TaskUnwinder()
gdb.unwinder.register_unwinder(None, OnTask.unwinder, replace=True)
Tasks()
TaskBacktrace()
