"""How a chassis' driver ends: signals become exceptions, and cleaning up is not interrupted."""
import contextlib
import signal
import sys
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _end(signum, _frame):
    sys.exit(128 + signum)


def on_signals():
    """Makes SIGTERM and SIGHUP unwind the stack as ^C does, so that `with` blocks close."""
    if threading.current_thread() is threading.main_thread():
        for signum in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(signum) == signal.SIG_DFL:
                signal.signal(signum, _end)


@contextlib.contextmanager
def uninterrupted():
    """Holds such signals back until the block is done; then they do what they would have done."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
