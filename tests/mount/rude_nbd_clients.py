"""NBD clients with no manners, until they are killed: rude_nbd_clients.py HOST:PORT EXPORT READY-FILE [KIND…]

    read-nothing    those that ask for 1,000 reads of 1 MiB and never take a reply
    stop            those that stop in the middle of a write's data, of a request's header, of the handshake
    flood           those that send requests as fast as they can, and hang up in the middle of one, over and over
    devour          those that have thousands of reads of up to 32 MiB in the making, and take all the replies

All kinds without one, but for devour, which wants a drive to itself or one that is only read. READY-FILE comes when each is where it wants to be, or has hung up once.
"""
import random
import socket
import struct
import sys
import threading

from nbd_connection import REQUEST_MAGIC, Connection

MIB = 1 << 20
READ, WRITE, FLUSH, TRIM = 0, 1, 3, 4
address, export, ready, *kinds = sys.argv[1:]
missing = threading.Semaphore(0)
kept = []


def request(command, offset, length, cookie=1):
    return struct.pack(">IHHQQI", REQUEST_MAGIC, 0, command, cookie, offset, length)


def sent_as_far_as_it_goes(connection, data):
    """Until the server takes no more."""
    connection.socket.settimeout(1)
    try:
        connection.socket.sendall(data)
    except TimeoutError:
        pass
    kept.append(connection)


def read_nothing():
    connection = Connection(address, export)
    sent_as_far_as_it_goes(connection, b"".join(request(READ, i % 8 * MIB, MIB, i) for i in range(1000)))
    missing.release()


def stop_in_the_middle():
    payload = Connection(address, export)
    sent_as_far_as_it_goes(payload, request(WRITE, 0, 32 * MIB) + bytes(16 * MIB))
    header = Connection(address, export)
    sent_as_far_as_it_goes(header, request(READ, 0, 4096) + request(READ, 0, 4096)[:13])
    host, _, port = address.rpartition(":")
    handshake = socket.create_connection((host, int(port)))
    handshake.sendall(struct.pack(">IQI", 3, 0x49484156454f5054, 7))
    kept.append(handshake)
    missing.release()


def flood(seed):
    lots = random.Random(seed)
    first = True
    while True:
        connection = Connection(address, export)
        connection.socket.setblocking(False)
        orders = b""
        for cookie in range(200):
            command = lots.choice((READ, READ, WRITE, FLUSH, TRIM))
            length = 0 if command == FLUSH else lots.choice((512, 4096, 65536))
            offset = 0 if command == FLUSH else lots.randrange(0, 8 * MIB)
            orders += request(command, offset, length, cookie) + (bytes(length) if command == WRITE else b"")
        try:
            connection.socket.send(orders)
            connection.socket.send(request(WRITE, 0, MIB) + bytes(lots.randrange(0, MIB)))
        except BlockingIOError:
            pass
        connection.socket.close()
        if first:
            missing.release()
            first = False


def devour():
    connection = Connection(address, export)
    length = min(32 * MIB, connection.size)
    orders = request(READ, 0, length) * 1000

    def ask():
        while True:
            connection.socket.sendall(orders)

    threading.Thread(target=ask, daemon=True).start()
    taken = bytearray(MIB)
    first = True
    while connection.socket.recv_into(taken) > 0:
        if first:
            missing.release()
            first = False


KINDS = {"read-nothing": [read_nothing] * 4, "stop": [stop_in_the_middle] * 4, "flood": [lambda seed=seed: flood(seed) for seed in range(2)],
         "devour": [devour] * 4}
crowd = [one for kind in kinds or ("read-nothing", "stop", "flood") for one in KINDS[kind]]
for one in crowd:
    threading.Thread(target=one, daemon=True).start()
for one in crowd:
    missing.acquire()
with open(ready, "w"):
    pass
threading.Event().wait()
