"""A stranger's NBD client that keeps its connections whatever happens, and says what it was answered.

Words on its control socket (sys.argv[1]):
    open NAME ADDRESS EXPORT     ADDRESS is HOST:PORT or a Unix socket; answers "SIZE FLAGS"
    write NAME OFFSET TEXT       answers "ok" or "error ERRNO"
    read NAME OFFSET LENGTH      answers the text without zeroes at its end
    close NAME
A connection that the server ended answers "error closed".
"""
import sys
import threading

import control_socket
from nbd_connection import Connection

connections = {}


def command(words):
    verb, name = words[:2]
    try:
        if verb == "open":
            connections[name] = Connection(words[2], words[3])
            return f"{connections[name].size} {connections[name].flags}"
        connection = connections[name]
        if verb == "write":
            data = words[3].encode()
            connection.request(1, int(words[2]), len(data), data)
            return "ok"
        if verb == "read":
            return connection.request(0, int(words[2]), int(words[3])).rstrip(b"\0").decode(errors="replace")
        connection.socket.close()
        return "ok"
    except ConnectionRefusedError as error:
        return f"error refused {error}"
    except (ConnectionError, TimeoutError) as error:
        return f"error closed {error}"


control_socket.serve(sys.argv[1], command)
threading.Event().wait()
