"""What is measured: figures, each a load on several servers in turns, and the ratios that are drawn from them."""
from dataclasses import dataclass

from loads import Load


@dataclass(frozen=True)
class Figure:
    name: str
    load: Load
    servers: tuple  # the first is drivebay's
    unit: str       # "IOPS" or "MiB/s"

    @property
    def ours(self):
        return self.servers[0]


@dataclass(frozen=True)
class Ratio:
    """Ours over theirs, medians of the rounds."""
    key: str
    figure: str
    theirs: str
    goal: float = None


FILES = ("drivebay file", "raw", "qemu-storage-daemon")
# Like against like: past the page cache, and through it.
DIRECT = ("drivebay export", "qemu-nbd")
CACHED = ("drivebay cached export", "nbdkit")
SECURE = ("drivebay TLS export", "nbdkit TLS")
SHARED = ("drivebay read-only export", "qemu-nbd cached", "nbdkit")

FIGURES = (
    Figure("fuse_randread_4k_qd32", Load("randread", "4k", 32), FILES, "IOPS"),
    Figure("fuse_randwrite_4k_qd32", Load("randwrite", "4k", 32), FILES, "IOPS"),
    Figure("fuse_randread_4k_qd1", Load("randread", "4k", 1), FILES, "IOPS"),
    Figure("fuse_read_1m", Load("read", "1m", 8), FILES, "MiB/s"),
    Figure("fuse_write_1m", Load("write", "1m", 8), FILES, "MiB/s"),
    Figure("nbd_randread_4k_qd32", Load("randread", "4k", 32), DIRECT, "IOPS"),
    Figure("nbd_randwrite_4k_qd32", Load("randwrite", "4k", 32), DIRECT, "IOPS"),
    Figure("nbd_read_256k", Load("read", "256k", 8), DIRECT, "MiB/s"),
    Figure("nbd_randread_4k_qd32_cached", Load("randread", "4k", 32, cached=True), CACHED, "IOPS"),
    Figure("nbd_randwrite_4k_qd32_cached", Load("randwrite", "4k", 32, cached=True), CACHED, "IOPS"),
    Figure("nbd_tls_read", Load("read", "256k", 8, cached=True), SECURE, "MiB/s"),
    Figure("nbd_16_clients_cached", Load("randread", "64k", 4, clients=16, cached=True), SHARED, "MiB/s"),
)

RATIOS = (
    Ratio("fuse_randread_4k_qd32_vs_raw", "fuse_randread_4k_qd32", "raw", 0.85),
    Ratio("fuse_randread_4k_qd32_vs_qsd", "fuse_randread_4k_qd32", "qemu-storage-daemon", 1.5),
    Ratio("fuse_randwrite_4k_qd32_vs_raw", "fuse_randwrite_4k_qd32", "raw"),
    Ratio("fuse_randwrite_4k_qd32_vs_qsd", "fuse_randwrite_4k_qd32", "qemu-storage-daemon"),
    Ratio("fuse_randread_4k_qd1_vs_raw", "fuse_randread_4k_qd1", "raw", 0.85),
    Ratio("fuse_read_1m_vs_raw", "fuse_read_1m", "raw", 0.95),
    Ratio("fuse_read_1m_vs_qsd", "fuse_read_1m", "qemu-storage-daemon", 2.0),
    Ratio("fuse_write_1m_vs_raw", "fuse_write_1m", "raw", 0.95),
    Ratio("fuse_write_1m_vs_qsd", "fuse_write_1m", "qemu-storage-daemon", 2.0),
    Ratio("nbd_randread_4k_qd32_vs_qemu_nbd", "nbd_randread_4k_qd32", "qemu-nbd", 1.5),
    Ratio("nbd_randread_4k_qd32_vs_nbdkit", "nbd_randread_4k_qd32_cached", "nbdkit", 1.5),
    Ratio("nbd_randwrite_4k_qd32_vs_qemu_nbd", "nbd_randwrite_4k_qd32", "qemu-nbd", 1.5),
    Ratio("nbd_randwrite_4k_qd32_vs_nbdkit", "nbd_randwrite_4k_qd32_cached", "nbdkit", 1.5),
    Ratio("nbd_read_256k_vs_qemu_nbd", "nbd_read_256k", "qemu-nbd"),
    Ratio("nbd_tls_read_vs_nbdkit", "nbd_tls_read", "nbdkit TLS"),
    Ratio("nbd_16_clients_cached_vs_qemu_nbd", "nbd_16_clients_cached", "qemu-nbd cached", 2.0),
    Ratio("nbd_16_clients_cached_vs_nbdkit", "nbd_16_clients_cached", "nbdkit", 2.0),
)
