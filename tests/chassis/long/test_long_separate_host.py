"""D5: a blade whose host is a separate machine, with its own kernel and its own caches."""
import separate_host
from testing import limit, needs


@needs(*separate_host.machines("qemu-xhci", "super"))
@limit(180)
def test_d5_a_separate_host_on_xhci_reads_stale_bytes_or_cannot_use_or_pass_on_its_drives(c):
    return separate_host.told(c)


@needs(*separate_host.machines("usb-ehci", "high"))
@limit(180)
def test_d5_a_separate_host_on_ehci_reads_stale_bytes_or_cannot_use_or_pass_on_its_drives(c):
    return separate_host.told(c)
