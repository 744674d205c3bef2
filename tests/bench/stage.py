"""Where benchmarks run: namespaces of their own, on a machine that is described beside the figures."""
import os
import platform
import subprocess
import sys


def describe_machine(folder):
    with open("/proc/cpuinfo") as cpuinfo:
        models = [line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")]
    disk = subprocess.run(["findmnt", "-no", "FSTYPE,SOURCE", "-T", folder], capture_output=True, text=True, check=False)
    return {"cores": os.cpu_count(), "cpu": models[0] if models else platform.machine(), "kernel": platform.release(),
            "disk": " ".join(disk.stdout.split()), "load_before": round(os.getloadavg()[0], 2)}


def enter_namespaces(name):
    """Returns inside; the outer process never does."""
    if os.environ.get("DRIVEBAY_BENCH_INSIDE") == "yes":
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        sys.exit(f"{name}: namespaces and a FUSE mount need root and /dev/fuse here; run it as root")
    os.environ["DRIVEBAY_BENCH_INSIDE"] = "yes"
    os.execvp("unshare", ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--propagation", "private",
                          "--kill-child=KILL", sys.executable, *sys.argv])
