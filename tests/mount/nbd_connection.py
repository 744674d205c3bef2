"""A raw NBD client, one request at a time (the NBD project's doc/proto.md: fixed newstyle, simple replies)."""
import errno
import socket
import struct
import threading

NBD_MAGIC = 0x4e42444d41474943
OPTION_MAGIC = 0x49484156454f5054
OPTION_REPLY_MAGIC = 0x3e889045565a9
REQUEST_MAGIC = 0x25609513
SIMPLE_REPLY_MAGIC = 0x67446698
OPT_GO = 7
REP_ACK, REP_INFO = 1, 3
INFO_EXPORT = 0


class Connection:
    def __init__(self, address, export):
        if address.startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(address)
        else:
            host, _, port = address.rpartition(":")
            self.socket = socket.create_connection((host, int(port)))
        self.socket.settimeout(60)
        self.cookie = 0
        self.lock = threading.Lock()
        magic, option_magic, flags = struct.unpack(">QQH", self.read(18))
        assert (magic, option_magic, flags & 1) == (NBD_MAGIC, OPTION_MAGIC, 1)
        self.socket.sendall(struct.pack(">I", 3 & flags))
        name = export.encode()
        self.socket.sendall(struct.pack(">QIII", OPTION_MAGIC, OPT_GO, len(name) + 6, len(name)) + name + b"\0\0")
        self.size = self.flags = None
        while True:
            magic, _, reply, length = struct.unpack(">QIII", self.read(20))
            data = self.read(length)
            if magic != OPTION_REPLY_MAGIC:
                raise ConnectionError(f"magic {magic:x}")
            if reply == REP_ACK:
                return
            if reply == REP_INFO and struct.unpack(">H", data[:2])[0] == INFO_EXPORT:
                self.size, self.flags = struct.unpack(">QH", data[2:12])
            elif reply & 1 << 31:
                raise ConnectionRefusedError(errno.ECONNREFUSED, f"option refused {reply & 0xffff}: {data.decode()}")

    def read(self, length):
        data = b""
        while len(data) < length:
            part = self.socket.recv(length - len(data))
            if not part:
                raise ConnectionResetError(errno.ECONNRESET, "the server ended the connection")
            data += part
        return data

    def request(self, command, offset, length, payload=b""):
        with self.lock:
            self.cookie += 1
            self.socket.sendall(struct.pack(">IHHQQI", REQUEST_MAGIC, 0, command, self.cookie, offset, length) + payload)
            magic, error, cookie = struct.unpack(">IIQ", self.read(16))
            assert (magic, cookie) == (SIMPLE_REPLY_MAGIC, self.cookie)
            if error:
                raise OSError(error, errno.errorcode.get(error, "?"))
            return self.read(length) if command == 0 else b""
