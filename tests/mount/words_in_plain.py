"""What is said before STARTTLS, and in an old TLS: words_in_plain.py ADDRESS EXPORT IDENTITY. The blade of that folder has the export.
Fails where anything of it counts (the NBD project's doc/proto.md, "TLS versions", and CVE-2021-3716)."""
import socket
import ssl
import struct
import sys

from nbd_connection import NBD_MAGIC, OPT_GO, OPTION_MAGIC, OPTION_REPLY_MAGIC, REP_ACK, REQUEST_MAGIC, SIMPLE_REPLY_MAGIC

OPT_LIST, OPT_STARTTLS, OPT_STRUCTURED_REPLY, OPT_SET_META_CONTEXT = 3, 5, 8, 10
REP_ERR_TLS_REQD, REP_ERR_INVALID = 1 << 31 | 5, 1 << 31 | 3
COMMAND_READ, COMMAND_BLOCK_STATUS, EINVAL = 0, 7, 22


class Words:
    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        magic, option_magic, flags = struct.unpack(">QQH", self.read(18))
        assert (magic, option_magic) == (NBD_MAGIC, OPTION_MAGIC)
        self.socket.sendall(struct.pack(">I", 3 & flags))

    def read(self, length):
        data = b""
        while len(data) < length:
            part = self.socket.recv(length - len(data))
            if not part:
                raise ConnectionResetError("ended")
            data += part
        return data

    def say(self, option, data=b"", behind=b""):
        self.socket.sendall(struct.pack(">QII", OPTION_MAGIC, option, len(data)) + data + behind)

    def hear(self):
        """The last reply to an option: its type."""
        while True:
            magic, _, reply, length = struct.unpack(">QIII", self.read(20))
            assert magic == OPTION_REPLY_MAGIC
            self.read(length)
            if reply == REP_ACK or reply >> 31:
                return reply

    def ask(self, option, data=b""):
        self.say(option, data)
        return self.hear()

    def secure(self, identity="", newest=ssl.TLSVersion.TLSv1_3):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, newest
        if identity:
            context.load_cert_chain(f"{identity}/client-cert.pem", f"{identity}/client-key.pem")
        self.socket = context.wrap_socket(self.socket)


def named(export, more=b"\0\0"):
    return struct.pack(">I", len(export)) + export.encode() + more


def ends(action):
    try:
        action()
    except (ConnectionError, ssl.SSLError):
        return True
    return False


def main():
    address, export, identity = sys.argv[1:]
    meta = named(export, struct.pack(">II", 1, 15) + b"base:allocation")
    words = {"list": (OPT_LIST, b""), "structured replies": (OPT_STRUCTURED_REPLY, b""), "a context": (OPT_SET_META_CONTEXT, meta),
             "an export": (OPT_GO, named(export))}

    said = Words(address)
    for name, (option, data) in words.items():
        assert said.ask(option, data) == REP_ERR_TLS_REQD, f"{name} in plain is not refused for want of TLS"
    assert said.ask(OPT_STARTTLS) == REP_ACK
    said.secure(identity)
    assert said.ask(OPT_STARTTLS) == REP_ERR_INVALID, "TLS inside TLS"
    assert said.ask(OPT_SET_META_CONTEXT, meta) == REP_ERR_INVALID, "structured replies asked for in plain count"
    assert said.ask(OPT_GO, named(export)) == REP_ACK
    said.socket.sendall(struct.pack(">IHHQQI", REQUEST_MAGIC, 0, COMMAND_READ, 1, 0, 512))
    assert struct.unpack(">IIQ", said.read(16)) == (SIMPLE_REPLY_MAGIC, 0, 1), "structured replies asked for in plain count"
    said.read(512)
    said.socket.sendall(struct.pack(">IHHQQI", REQUEST_MAGIC, 0, COMMAND_BLOCK_STATUS, 2, 0, 512))
    assert struct.unpack(">IIQ", said.read(16)) == (SIMPLE_REPLY_MAGIC, EINVAL, 2), "a context asked for in plain counts"

    smuggled = Words(address)
    smuggled.say(OPT_STARTTLS, behind=struct.pack(">QII", OPTION_MAGIC, OPT_LIST, 0))
    assert ends(lambda: (smuggled.hear(), smuggled.secure(identity), smuggled.ask(OPT_LIST))), "words behind STARTTLS are let pass"

    old = Words(address)
    assert old.ask(OPT_STARTTLS) == REP_ACK
    assert ends(lambda: old.secure(identity, ssl.TLSVersion.TLSv1_2)), "TLS 1.2 is spoken"

    nobody = Words(address)
    assert nobody.ask(OPT_STARTTLS) == REP_ACK
    # In TLS 1.3 the client's half is done before the server has looked at its certificate.
    assert ends(lambda: (nobody.secure(), nobody.ask(OPT_LIST))), "somebody without a certificate is answered"


main()
