"""A TCP link that can be held up and cut: LISTEN_PORT TARGET_PORT CONTROL_SOCKET, all on loopback.

    stall      takes what both sides send and keeps it: a cable with very long delay
    deliver    sends on what was kept, in order, and goes on
    drop       forgets what was kept and resets every connection
    kept       how many bytes are kept on their way to the target
New connections are made in every state; their bytes wait as well while the link is stalled.
"""
import socket
import struct
import sys
import threading

import control_socket

flowing = threading.Event()
flowing.set()
kept = {}
lock = threading.Lock()
pairs = []


def carry(source, sink, is_request):
    while True:
        try:
            data = source.recv(1 << 20)
        except OSError:
            data = b""
        if is_request and data:
            with lock:
                kept[source] = kept.get(source, 0) + len(data)
        flowing.wait()
        try:
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            sink.sendall(data)
        except OSError:
            return
        finally:
            if is_request and data:
                with lock:
                    kept[source] -= len(data)


def accept(listener, target):
    while True:
        client, _ = listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", target))
        except OSError:
            client.close()
            continue
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with lock:
            pairs.append((client, server))
        threading.Thread(target=carry, args=(client, server, True), daemon=True).start()
        threading.Thread(target=carry, args=(server, client, False), daemon=True).start()


def command(words):
    if words[0] == "stall":
        flowing.clear()
    elif words[0] == "deliver":
        flowing.set()
    elif words[0] == "drop":
        with lock:
            for pair in pairs:
                for end in pair:
                    # Linger of zero: a reset, as after a cut
                    try:
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        end.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
            pairs.clear()
        flowing.set()
    elif words[0] == "kept":
        with lock:
            return sum(kept.values())
    else:
        raise ValueError(words[0])
    return "ok"


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
control_socket.serve(sys.argv[3], command)
accept(listener, int(sys.argv[2]))
