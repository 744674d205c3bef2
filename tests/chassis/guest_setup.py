"""The setup script of a machine: run by its initramfs' shell before the agent starts.

The shell is busybox, $B names it, the machine's root is at /root, its kernel's modules
are found by a link. What is written here runs in order and in the foreground, and the
first step that fails stops the machine: when the agent answers, all of it is done.
"""
import shlex

from spec import SEGMENTS, hosts_file


def macs(index, machine):
    """MAC address by segment: locally administered, the same at each boot."""
    return {segment: f"52:54:00:77:{SEGMENTS.index(segment):02x}:{index + 1:02x}"
            for segment in SEGMENTS if segment in machine.addresses}


def network(index, machine):
    yield "$B ip link set lo up"
    for segment, mac in macs(index, machine).items():
        address = machine.addresses[segment]
        yield f"""\
for d in /sys/class/net/*; do
    [ "$($B cat $d/address)" = {mac} ] || continue
    $B ip link set ${{d##*/}} name {segment}
    $B ip link set {segment} mtu {machine.mtu} up
    $B ip addr add {address}/24 dev {segment}
done"""


def modules(machine, modules_folder, version):
    yield "$B mkdir -p /root/lib/modules"
    yield f"$B ln -s {shlex.quote(modules_folder)} /root/lib/modules/{version}"
    yield "$B mount -o bind /proc /root/proc; $B mount -o bind /sys /root/sys; $B mount -o bind /dev /root/dev"
    load = "$B chroot /root /sbin/modprobe"
    yield f"{load} -a {' '.join(machine.all_modules())}"
    if machine.udcs:
        yield f"{load} dummy_hcd num={machine.udcs} is_super_speed={int(machine.usb_speed == 'super')}"
    if (machine.udcs or machine.host_of) and not machine.systemd:     # whose udev and units do that
        yield f"echo {machine.poll_msecs} >/sys/module/block/parameters/events_dfl_poll_msecs"
        if machine.udcs:
            yield "$B mount -t configfs configfs /sys/kernel/config"
    yield "$B umount /root/proc /root/sys /root/dev"


def disks(machine):
    for number, disk in enumerate(machine.disks):
        if disk.mount:
            place = shlex.quote("/root" + disk.mount)
            yield f"$B mkdir -p {place}; $B mount -t ext4 /dev/vd{chr(97 + number)} {place}"


AGENT_UNIT = """\
[Unit]
Description=The agent of a chassis machine
DefaultDependencies=no
After=systemd-udevd.service systemd-tmpfiles-setup-dev.service
[Service]
ExecStart=/usr/bin/python3 -I -S /run/chassis/agent.py
Restart=always
KillMode=process
"""


# What udev would load for an emulated processor, whose self-tests and set-up take it seconds at each boot.
USELESS = ("kvm_amd kvm_intel powernow_k8 aesni_intel ghash_clmulni_intel crct10dif_pclmul crc32_pclmul sha512_ssse3 sha256_ssse3"
           " sha1_ssse3 edac_mce_amd ccp pcspkr psmouse evdev floppy i2c_piix4 button serio_raw joydev")


def debian(index, machine, all_machines, modules_folder, version, tree):
    """What makes the root of a machine with systemd, and goes there instead of to the agent."""
    system = "/new/run/systemd/system"
    yield f"""\
$B mkdir -p /disk /new
$B mount -o move /root/persistent /disk
$B mkdir -p /disk/data /disk/work
$B mount -t overlay -o lowerdir={shlex.quote("/lower" + tree)},upperdir=/disk/data,workdir=/disk/work,xino=off overlay /new
$B mkdir -p /new/lib/modules/{version} /new/persistent
$B mount -o bind {shlex.quote("/lower" + modules_folder)} /new/lib/modules/{version}
$B mount -t tmpfs -o mode=755 run /new/run
$B mkdir -p /new/run/chassis {system}/sysinit.target.wants
$B mount -o move /root/run/chassis /new/run/chassis
$B cat >{system}/chassis-agent.service <<'.'
{AGENT_UNIT}.
$B ln -s ../chassis-agent.service {system}/sysinit.target.wants/
$B mkdir -p /new/run/modprobe.d
for module in {USELESS}; do echo "blacklist $module"; done >/new/run/modprobe.d/chassis.conf
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer; do
    $B ln -s /dev/null {system}/$unit
done
[ -e /new/etc/machine-id ] || echo {index + 1:032x} >/new/etc/machine-id
echo {machine.name} >/new/etc/hostname
$B cat >/new/etc/hosts <<'.'
{hosts_file(all_machines)}.
for d in proc sys dev; do $B mount -o move /$d /new/$d; done
exec $B switch_root /new /sbin/init"""


def script(index, machine, all_machines, modules_folder, version, tree=None):
    """The whole script as text."""
    lines = [
        # From here on the console has what the kernel says; `quiet` covered the boot.
        "echo 7 >/proc/sys/kernel/printk",
        f"echo {machine.name} >/proc/sys/kernel/hostname",
        f"echo {machine.name} >/root/etc/hostname",
        f"$B cat >/root/etc/hosts <<'.'\n{hosts_file(all_machines)}.",
        "$B mkdir -p /dev/pts /dev/shm",
        # No udev makes this node, whose first use loads the module.
        "$B mknod /dev/loop-control c 10 237",
        "$B mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts",
        "$B mount -t tmpfs shm /dev/shm",
        *modules(machine, modules_folder, version),
        *network(index, machine),
        *disks(machine),
        *(debian(index, machine, all_machines, modules_folder, version, tree) if machine.systemd else ()),
    ]
    return "\n".join(lines) + "\n"
