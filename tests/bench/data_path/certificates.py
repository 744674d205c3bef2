"""A server's certificate for TLS, signed by an authority that was made for it."""
import os
import subprocess

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make(folder):
    """Leaves ca-cert.pem, server-cert.pem and server-key.pem in `folder`, as nbdkit, qemu and libnbd call them."""
    os.makedirs(folder)
    openssl("req", "-x509", *CURVE, "-days", "2", "-subj", "/CN=bench", "-keyout", f"{folder}/ca-key.pem", "-out",
            f"{folder}/ca-cert.pem")
    openssl("req", *CURVE, "-subj", "/CN=localhost", "-keyout", f"{folder}/server-key.pem", "-out", f"{folder}/server.csr")
    openssl("x509", "-req", "-days", "2", "-in", f"{folder}/server.csr", "-CA", f"{folder}/ca-cert.pem", "-CAkey",
            f"{folder}/ca-key.pem", "-CAcreateserial", "-out", f"{folder}/server-cert.pem")
    return folder
