"""A Unix socket that takes one line a connection, words with tabs between them, and answers with what a function says.

Each connection has its own thread: a command that hangs, as a stalled write does, holds up no other one.
"""
import os
import socket
import threading


def serve(path, command):
    """Serves in the background. `command(words)` returns the answer; an OSError becomes "error ERRNO-NAME TEXT"."""
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    threading.Thread(target=_accept, args=(listener, command), name="control", daemon=True).start()


def _accept(listener, command):
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=_answer, args=(peer, command), name="command", daemon=True).start()


def _answer(peer, command):
    with peer:
        words = peer.makefile().readline().rstrip("\n").split("\t")
        try:
            answer = command(words)
        except OSError as error:
            answer = f"error {error_name(error)} {error}"
        except (KeyError, IndexError, ValueError) as error:
            answer = f"error {error!r}"
        try:
            peer.sendall(str(answer).encode())
        except OSError:
            pass  # whoever asked has left


def error_name(error):
    import errno
    return errno.errorcode.get(error.errno, type(error).__name__)
