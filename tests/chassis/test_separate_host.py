"""D5: a blade whose host is a separate machine, with its own kernel and caches, on xHCI."""
import separate_host
from testing import limit

MACHINES = separate_host.machines("qemu-xhci", "super")


@limit(180)
def test_d5_a_separate_host_on_xhci_reads_stale_bytes_or_cannot_use_or_pass_on_its_drives(c):
    return separate_host.told(c)
