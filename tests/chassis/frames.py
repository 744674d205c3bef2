"""Messages over a stream socket: four bytes of length (big endian) and a marshalled dict.

The agent has the same few lines of its own, because it imports nothing.
"""
import marshal


def write(socket, **message):
    data = marshal.dumps(message, 2)
    socket.sendall(len(data).to_bytes(4, "big") + data)


def read(stream):
    """One message of a buffered reader; None at its end."""
    head = stream.read(4)
    data = stream.read(int.from_bytes(head, "big"))
    if len(head) < 4 or not data:
        return None
    return marshal.loads(data)
