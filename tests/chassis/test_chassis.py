"""The harness proves itself: if one of these fails, do not trust the other chassis tests."""
import os
import threading

import usb_gadget
from channel import MachineLost
from machine import Failed, Timeout

MACHINES = ["mm", "blade01", "blade02"]


def sees(machine, name):
    """Whether one packet there and back makes it."""
    return machine.run(f"busybox ping -c 1 -W 1 {name}", check=False).rc == 0


def test_run_gives_status_output_and_obeys_its_limit(c):
    blade = c["blade01"]
    result = blade.run("echo out; echo err >&2; cat; exit 3", input="typed\n", check=False)
    assert (result.rc, result.out, result.err) == (3, "out\ntyped\n", "err\n"), result
    assert blade.run(["printf", "%s", "a b'c"]).out == "a b'c"
    assert blade.run(["/nowhere/program"], check=False).rc == 127
    data = os.urandom(300_000)
    blade.put("/tmp/data", data)
    assert blade.get("/tmp/data") == data
    for wrong, error in ((lambda: blade.run("exit 1"), Failed),
                         (lambda: blade.run("sleep 60", timeout=0.3), Timeout)):
        try:
            wrong()
        except error:
            continue
        raise AssertionError(f"no {error.__name__}")


def test_background_process_logs_to_the_shared_folder_and_ends_when_told(c):
    process = c["blade01"].start("talker", "while echo still here; do sleep 0.1; done")
    c["blade01"].wait_until(lambda: "still here" in process.text())
    assert process.running and process.stop() == -15


def test_every_machine_reaches_every_other_by_name(c):
    for machine in c:
        for other in c:
            assert machine is other or sees(machine, other.name), f"{machine.name} {other.name}"


def test_cut_link_loses_everything_and_a_restored_one_resumes(c):
    blade = c["blade01"]
    c.cut("blade01")
    assert not sees(blade, "mm") and sees(c["blade02"], "mm")
    c.restore("blade01")
    blade.wait_until(lambda: sees(blade, "mm"))


def test_one_way_cut_loses_one_direction_only(c):
    mm, blade = c["mm"], c["blade01"]

    def echoes_seen():
        """Echo requests that the blade's kernel has received."""
        line = blade.run("grep ^IcmpMsg: /proc/net/snmp || true").out.split("\n")
        fields = dict(zip(line[0].split()[1:], line[1].split()[1:])) if line[0] else {}
        return int(fields.get("InType8", 0))

    assert sees(mm, "blade01")
    c.cut("blade01", direction="out")
    before = echoes_seen()
    assert not sees(mm, "blade01") and echoes_seen() > before, "requests arrive, answers do not"
    c.restore("blade01")
    c.cut("blade01", direction="into")
    before = echoes_seen()
    assert not sees(mm, "blade01") and echoes_seen() == before, "requests do not arrive"


def test_delay_and_loss_are_what_was_asked(c):
    def round_trip():
        return float(c["mm"].run("busybox ping -c 3 -i 0.2 blade02").out.rsplit("/", 2)[1])
    plain = round_trip()
    c.delay("blade02", 50)
    delayed = round_trip()
    assert 95 < delayed < plain + 500, f"{plain} ms, then {delayed} ms"
    c.restore("blade02")
    c.drop("blade02", 100)
    assert not sees(c["mm"], "blade02")
    return f"round trip {plain:.1f} ms, with 2 x 50 ms of delay {delayed:.1f} ms"


def test_bandwidth_over_the_switch(c):
    def receive(port, total):
        import socket
        server = socket.create_server(("", port))
        open("/run/receiving", "w").close()
        peer = server.accept()[0]
        buffer, seen = bytearray(1 << 20), 0
        while seen < total:
            seen += peer.recv_into(buffer)
        peer.sendall(b".")
        return seen

    def transmit(host, port, total):
        import socket
        import time
        peer = socket.create_connection((host, port))
        start = time.monotonic()
        block = bytes(1 << 20)
        for _ in range(total >> 20):
            peer.sendall(block)
        peer.recv(1)
        return time.monotonic() - start

    total = 48 << 20
    receiver = threading.Thread(target=c["blade01"].python, args=[receive, 7, total],
                                kwargs={"timeout": 50})
    receiver.start()
    c["blade01"].wait_until("test -e /run/receiving")
    seconds = c["mm"].python(transmit, "blade01", 7, total, timeout=50)
    receiver.join()
    assert c.traffic("mm")["bytes"] > total
    return f"{total / seconds / 1e6:.0f} MB/s"


def test_paused_machine_is_silent_and_goes_on(c):
    blade = c["blade02"]
    blade.pause()
    assert not sees(c["mm"], "blade02")
    blade.resume()
    c["mm"].wait_until(lambda: sees(c["mm"], "blade02"))


def test_lun_made_by_hand_is_a_drive_of_the_host(c):
    blade = c["blade01"]
    blade.run("truncate -s 8M /tmp/one /tmp/two; printf drivebay >/tmp/two.start;"
              "dd if=/tmp/two.start of=/tmp/two conv=notrunc status=none")
    usb_gadget.by_hand(blade, [{"file": "/tmp/one", "ro": True, "inquiry": "VendorX Model of one"},
                               {"file": "/tmp/two"}, {"cdrom": True}], serial="BAY42")
    blade.wait_until(lambda: len(usb_gadget.host_devices(blade)) == 3, 15, "three drives")
    disks = one, two, three = usb_gadget.host_devices(blade)
    assert [disk["interface"] for disk in disks] == [0, 1, 2]
    assert {disk["interfaces"] for disk in disks} == {3} and one["serial"] == "BAY42"
    assert (one["ro"], two["ro"], three["name"]) == (True, False, "sr0"), disks
    assert one["size"] == two["size"] == 8 << 20 and one["removable"] and one["udc"] == 0
    assert (one["vendor"], one["model"]) == ("VendorX", "Model of one")
    assert blade.run(["head", "-c", "8", two["path"]]).out == "drivebay"
    usb_gadget.remove(blade)
    blade.wait_until(lambda: not usb_gadget.host_devices(blade))


def test_file_systems_are_mounted_without_loading_them_first(c):
    c["blade01"].run("""
        set -e
        truncate -s 8M /tmp/floppy
        mkfs.vfat /tmp/floppy >/dev/null
        mkdir -p /tmp/mounted
        mount -o loop,iocharset=utf8 /tmp/floppy /tmp/mounted
        umount /tmp/mounted""")


def test_killed_machine_is_gone_and_comes_back_with_its_disk_only(c):
    mm, blade = c["mm"], c["blade01"]
    process = mm.start("sleeper", ["sleep", "1000"])
    mm.run("touch /tmp/forgotten; echo kept >/run/chassis/kept;"
           "dd if=/dev/zero of=/data/direct bs=1M count=2 oflag=direct,sync status=none")
    mm.kill()
    assert not sees(blade, "mm")
    try:
        mm.run("true")
        raise AssertionError("a dead machine ran a command")
    except MachineLost:
        pass
    assert not process.running and process.rc is None
    mm.boot()
    assert mm.run("ls /tmp/forgotten", check=False).rc != 0
    assert mm.run("cat /run/chassis/kept").out == "kept\n"
    assert mm.run("stat -c %s /data/direct").out == f"{2 << 20}\n"
    blade.wait_until(lambda: sees(blade, "mm"))
