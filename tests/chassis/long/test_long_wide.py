"""D6: 14 blades at once."""
import time

from machine import wait_until
from testing import limit
from usb_gadget import host_devices
from wide import WideDeployment

MACHINES = ["wide"]


@limit(300)
def test_d6_a_host_of_14_blades_lacks_a_drive_or_reads_wrong_bytes_from_its_own_or_the_shared_one(c):
    begin = time.monotonic()
    wide, d = c["wide"], WideDeployment(c)
    d.start()
    online = time.monotonic() - begin
    wide.run("xorriso -as mkisofs -quiet -o /data/install.iso -V INSTALL -r -J /usr/share/common-licenses 2>/dev/null", timeout=60)
    drives, presentations = ['{ name = "install"; source = "/data/install.iso"; }'], []
    for blade in d.blades:
        wide.run(f"head -c 1M /dev/urandom >/data/{blade.name}.img")
        drives.append(f'{{ name = "own-{blade.name}"; source = "/data/{blade.name}.img"; }}')
        presentations += [f'{{ drive = "install"; blade = "{blade.name}"; access = "read"; }}',
                          f'{{ drive = "own-{blade.name}"; blade = "{blade.name}"; access = "write"; }}']
    d.enter(drives=drives, presentations=presentations)
    wait_until(lambda: [slot["state"] for one in d.status()["blades"] for slot in one["slots"] if slot["drive"]] == ["loaded"] * 28,
               60, "28 slots are loaded")
    found = host_devices(wide)
    wanted = [(blade.udc, interface) for blade in d.blades for interface in range(4)]
    assert [(one["udc"], one["interface"]) for one in found] == wanted, found
    assert {one["interfaces"] for one in found} == {4}
    presented = time.monotonic() - begin

    digests = {line.split()[1]: line.split()[0] for line in wide.run("cd /data && sha256sum *.iso *.img").out.splitlines()}
    paths = {(one["udc"], one["interface"]): one["path"] for one in found}
    status = {one["name"]: {slot["drive"]: slot for slot in one["slots"] if slot["drive"]} for one in d.status()["blades"]}
    jobs = {}
    for blade in d.blades:
        for drive, image in (("install", "install.iso"), (f"own-{blade.name}", f"{blade.name}.img")):
            slot = status[blade.name][drive]
            assert slot["state"] == "loaded", slot
            # Opening it lets the host look for its medium.
            jobs[blade.name, drive] = image, wide.popen(f"sha256sum <{paths[blade.udc, slot['slot']]}")
    for (blade, drive), (image, job) in jobs.items():
        assert wide.channel.wait(lambda one=job: one.done, 90), f"{blade} still reads {drive}"
        assert bytes(job.out).decode().split()[:1] == [digests[image]], (blade, drive, bytes(job.err))
    return (f"14 blades online after {online:.0f} s, 28 drives presented and 56 seen after {presented:.0f} s, "
            f"all read after {time.monotonic() - begin:.0f} s")
