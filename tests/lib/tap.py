"""TAP, the little of it that tests/run reads: `ok N - name`, `not ok N - name`, `# SKIP`, and the plan at the end."""
import sys
import traceback


class Failure(Exception):
    """A test's verdict against the program under test; anything else that is raised is a fault of the test and shown with its trace."""


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def ok(self, passed, name, why=''):
        self.count += 1
        self.failed += not passed
        print(f'{"ok" if passed else "not ok"} {self.count} - {name}')
        if not passed:
            for line in str(why).splitlines():
                print('# ' + line)
        sys.stdout.flush()
        return passed

    def skip(self, name, reason):
        self.count += 1
        print(f'ok {self.count} - {name} # SKIP {reason}', flush=True)

    def run(self, name, function, *args):
        """A test is a function: it fails by raising. What it raises is shown."""
        try:
            function(*args)
        except Failure as failure:
            return self.ok(False, name, failure)
        except Exception:
            return self.ok(False, name, traceback.format_exc())
        return self.ok(True, name)

    def done(self):
        """Prints the plan; the exit code."""
        print(f'1..{self.count}', flush=True)
        return 1 if self.failed or not self.count else 0


def check(condition, why):
    if not condition:
        raise Failure(why)
