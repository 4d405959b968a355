"""A process that must not outlive this one, however this one ends.

The kernel's own way (PR_SET_PDEATHSIG) is lost when a server changes its effective user, as Postfix's master does. So a
shell waits for the end of a pipe that only this process holds open, and then sends SIGTERM.
"""
import subprocess


class Leash:
    def __init__(self, pid):
        # In a session of its own: whoever kills this process with its whole group must not kill the shell too.
        self.shell = subprocess.Popen(['sh', '-c', 'read -r nothing; kill -TERM "$0"', str(pid)], stdin=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, start_new_session=True)

    def release(self):
        """To be called before the process is waited for: later its number may be another's."""
        self.shell.kill()
        self.shell.wait()
        self.shell.stdin.close()
