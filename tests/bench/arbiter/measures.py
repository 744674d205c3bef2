"""What is measured, one function a figure. Each gives a list of rows: a figure's name, its value, the goal, whether met."""
import base64
import os
import signal
import statistics
import subprocess
import sys
import time

import loads
from blade import Blade
from etcd import Etcd
from programs import Arbiter, DataPath, Unwell, wait_until

ROUNDS = 10
# A chassis of sixteen blades, each to read four drives: so many leases come to be in a round.
DRIVES, BLADES = 4, 16
LEASES = DRIVES * BLADES


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(milliseconds):
    """A sample as the report has it."""
    return {"n": len(milliseconds), "p50_ms": round(percentile(milliseconds, 0.5), 3),
            "p99_ms": round(percentile(milliseconds, 0.99), 3), "max_ms": round(max(milliseconds), 3)}


def row(name, value, goal="", met=None):
    return {"figure": name, "value": value, "goal": goal, "met": met}


class Sample:
    def __init__(self):
        self.milliseconds, self.a_second = [], []

    def add(self, result, count):
        self.milliseconds += [us / 1000 for us in result["us"]]
        self.a_second.append(count / result["seconds"])

    def told(self):
        return {**spread(self.milliseconds), "a_second": round(statistics.median(self.a_second))}


def sync_alone(folder, count=LEASES):
    """What the disk takes at least: 4 KiB written into a file and synced, as a log's commit is. Milliseconds."""
    file = os.open(f"{folder}/sync-alone", os.O_RDWR | os.O_CREAT)
    os.pwrite(file, bytes(count * 4096), 0)
    os.fsync(file)
    milliseconds = []
    for i in range(count):
        os.pwrite(file, b"x" * 4096, i * 4096)
        began = time.perf_counter()
        os.fdatasync(file)
        milliseconds.append((time.perf_counter() - began) * 1000)
    os.close(file)
    return milliseconds


# ---- against etcd -----------------------------------------------------------------------------------------------------

def _acquires():
    return [("POST", "/v1/presentations", {"drive": f"drive{drive}", "blades": [f"blade{blade}"], "access": "read"})
            for blade in range(BLADES) for drive in range(DRIVES)]


def _puts(lease, series):
    lines = []
    for i in range(LEASES):
        key = base64.b64encode(f"leases/{series}/{i}".encode()).decode()
        value = base64.b64encode(b'{"drive":"drive0","blade":"blade0","mode":"read","epoch":1}').decode()
        lines.append(("POST", "/v3/kv/txn", {
            "compare": [{"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
            "success": [{"request_put": {"key": key, "value": value, "lease": lease}}]}))
    return lines


def _count_keys(etcd):
    prefix, end = (base64.b64encode(text).decode() for text in (b"leases/", b"leases0"))
    return int(etcd.ask("/v3/kv/range", {"key": prefix, "range_end": end, "count_only": True}).get("count", 0))


# How they ask: clients, and the pause of each between an answer and its next request.
ACQUIRING = {"1 client, every 10 ms": (1, 10), "1 client, without a pause": (1, 0), "16 clients": (16, 0)}
RENEWING = {"1 at once": 1, "16 at once": 16}


def acquire_and_renew(build, folder, etcd_program):
    """Alternated rounds: ours on the Unix socket, ours on TCP, etcd's gateway on TCP, each asked in every way."""
    arbiter = Arbiter(build, f"{folder}/acquire", 14740, 600000)
    data_path = DataPath(build, f"{folder}/acquire", arbiter, 20809)
    etcd = Etcd(etcd_program, f"{folder}/etcd") if etcd_program else None
    for i in range(DRIVES):
        data_path.make_drive(f"drive{i}", 1 << 20)
    loads.add_blades(build, arbiter, "blade", BLADES)
    sessions = loads.Sessions(build, arbiter, BLADES, "blade", DRIVES)
    acquired = {(whose, way): Sample() for whose in ("unix", "tcp", "etcd") for way in ACQUIRING}
    renewed = {(whose, way): Sample() for whose in ("drivebay", "etcd") for way in RENEWING}
    puts, syncs = 0, []
    for turn in range(ROUNDS):
        syncs += sync_alone(folder)
        for way, (clients, pause) in ACQUIRING.items():
            for whose, address in (("unix", arbiter.socket), ("tcp", arbiter.address)):
                acquired[whose, way].add(loads.requests(build, address, clients, _acquires(), pause), LEASES)
                granted = [lease for lease in arbiter.leases() if lease["epoch"] > 0]
                if len(granted) != LEASES:
                    raise Unwell(f"{len(granted)} leases were granted instead of {LEASES}")
                arbiter.withdraw_all()
            if etcd:
                lease = etcd.ask("/v3/lease/grant", {"TTL": 600})["ID"]
                lines = _puts(lease, f"{turn}-{clients}-{pause}")
                acquired["etcd", way].add(loads.requests(build, etcd.address, clients, lines, pause), LEASES)
                puts += LEASES
                if _count_keys(etcd) != puts:
                    raise Unwell(f"etcd has {_count_keys(etcd)} keys instead of {puts}")
        for way, clients in RENEWING.items():
            renewals = sessions.blast(0.5, clients)
            renewed["drivebay", way].add(renewals, renewals["renewals"])
            if etcd:
                keep = [("POST", "/v3/lease/keepalive", {"ID": lease})] * 1000
                renewed["etcd", way].add(loads.requests(build, etcd.address, clients, keep), len(keep))
    sessions.end()
    for program in (data_path, arbiter, etcd):
        if program:
            program.end()
    return [row("the disk alone, fdatasync of 4 KiB", spread(syncs)),
            *_acquire_rows(acquired, renewed, etcd is not None)]


def _acquire_rows(acquired, renewed, with_etcd):
    rows = []
    for whose in ("unix", "tcp"):
        for way in ACQUIRING:
            told = acquired[whose, way].told()
            rows.append(row(f"acquire, {whose}, {way}", told, "p99 <= 5 ms", told["p99_ms"] <= 5))
    for way in RENEWING:
        rows.append(row(f"renew, WebSocket, {way}", renewed["drivebay", way].told()))
    if not with_etcd:
        return rows + [row("side by side with etcd", {"left_out": "etcd is neither installed nor to be downloaded"})]
    rows += [row(f"etcd: acquire, {way}", acquired["etcd", way].told()) for way in ACQUIRING]
    rows += [row(f"etcd: renew, {way}", renewed["etcd", way].told()) for way in RENEWING]
    rows += [_ratio(f"acquire, tcp, {way}", acquired["etcd", way], acquired["tcp", way]) for way in ACQUIRING]
    rows += [_ratio(f"renew, {way}", renewed["etcd", way], renewed["drivebay", way]) for way in RENEWING]
    return rows


def _ratio(what, theirs, ours):
    time_ratio = statistics.median(theirs.milliseconds) / statistics.median(ours.milliseconds)
    rate_ratio = statistics.median(ours.a_second) / statistics.median(theirs.a_second)
    return row(f"times as good as etcd (medians): {what}", {"time": round(time_ratio, 2), "rate": round(rate_ratio, 2)})


# ---- the whole way ----------------------------------------------------------------------------------------------------

TTL = 3.0


def handover_and_crash(build, folder, handovers=200, crashes=3):
    arbiter = Arbiter(build, f"{folder}/handover", 14741, int(TTL * 1000))
    data_path = DataPath(build, f"{folder}/handover", arbiter, 20810)
    data_path.make_drive("scratch", 16 << 20)
    loads.add_blades(build, arbiter, "blade", 3)
    pair = [Blade(arbiter.address, "blade0"), Blade(arbiter.address, "blade1")]
    rows = [_handover(arbiter, data_path, pair, handovers)]
    arbiter.withdraw_all()
    rows.append(_crash(arbiter, pair[0], crashes))
    for blade in pair:
        blade.end()
    data_path.end()
    arbiter.end()
    return rows


def _handover(arbiter, data_path, pair, count):
    """Holder's report that it is out, sent, to the next one's desired state with the new epoch, received."""
    holder, waiter = pair
    milliseconds = []
    arbiter.present("scratch", holder.name, "write")
    _, epoch = holder.wait_for("scratch")
    for turn in range(count):
        arbiter.present("scratch", waiter.name, "write")
        # Something for the fence's flush to do.
        file = os.open(f"{data_path.mount}/blades/{holder.name}/scratch", os.O_RDWR)
        os.pwrite(file, turn.to_bytes(8, "big") * 8192, (turn % 16) << 20)
        os.close(file)
        begin = holder.eject()
        end, next_epoch = waiter.wait_for("scratch")
        if next_epoch <= epoch:
            raise Unwell(f"epoch {next_epoch} follows epoch {epoch}")
        milliseconds.append((end - begin) * 1000)
        holder, waiter, epoch = waiter, holder, next_epoch
    told = spread(milliseconds)
    return row("handover, released to the next one's desired state", told, "p99 <= 50 ms", told["p99_ms"] <= 50)


def _crash(arbiter, waiter, count):
    """Holder's process killed, to its waiter's desired state."""
    seconds = []
    for _ in range(count):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "blade.py")
        victim = subprocess.Popen([sys.executable, script, arbiter.address, "blade2"], stdout=subprocess.PIPE, text=True)
        wait_until(lambda: arbiter.ask("GET", "/v1/blades/blade2")["online"], "the blade that is to crash is online")
        arbiter.present("scratch", "blade2", "write")
        if victim.stdout.readline() != "loaded\n":
            raise Unwell("the blade that is to crash did not get the drive")
        arbiter.present("scratch", waiter.name, "write")
        # Past its first renewal, at no moment of its rhythm that the bench has chosen.
        time.sleep(TTL / 3 + 0.2 * (len(seconds) + 1))
        begin = time.monotonic()
        victim.send_signal(signal.SIGKILL)
        seconds.append(waiter.wait_for("scratch")[0] - begin)
        victim.wait()
        arbiter.withdraw_all()
        wait_until(lambda: waiter.medium is None, "the waiter has put it out again")
    return row(f"crash of a holder to its waiter's grant, TTL {TTL:.0f} s", {"n": count, "worst_s": round(max(seconds), 3),
                                                                           "best_s": round(min(seconds), 3)},
               f"<= {TTL + 1:.0f} s", max(seconds) <= TTL + 1)


# ---- ten thousand blades ----------------------------------------------------------------------------------------------

def many_sessions(build, folder, count=10000):
    arbiter = Arbiter(build, f"{folder}/sessions", 14742, 10000)
    began = time.monotonic()
    loads.add_blades(build, arbiter, "blade", count)
    added = time.monotonic() - began
    began = time.monotonic()
    sessions = loads.Sessions(build, arbiter, count, "blade", 4)
    connected = time.monotonic() - began

    seconds = 10
    cpu = arbiter.cpu_seconds()
    held = sessions.hold(seconds)
    cpu = (arbiter.cpu_seconds() - cpu) / held["seconds"]
    rss, pss = arbiter.memory_mib()
    online = sum(blade["online"] for blade in arbiter.ask("GET", "/v1/blades")["blades"])
    if online != count:
        raise Unwell(f"{online} blades are online instead of {count}")
    rows = [row(f"{count} blades, added and connected", {"added_s": round(added, 1), "connected_s": round(connected, 1)}),
            row(f"{count} sessions, memory", {"pss_mib": round(pss, 1), "rss_mib": round(rss, 1)}, "<= 512 MiB",
                pss <= 512),
            row(f"{count} sessions renewing at TTL/3", {"core_percent": round(cpu * 100, 1),
                                                        **spread([us / 1000 for us in held["us"]]),
                                                        "a_second": round(held["renewals"] / held["seconds"])})]

    # One core for the arbiter, another for what loads it.
    arbiter.pin(0)
    sessions.pin(os.cpu_count() - 1)
    cpu = arbiter.cpu_seconds()
    blast = sessions.blast(5, count)
    cpu = arbiter.cpu_seconds() - cpu
    a_second = blast["renewals"] / blast["seconds"]
    rows.append(row("renewals on one core, all at once", {
        "a_second": round(a_second), "core_percent": round(100 * cpu / blast["seconds"]),
        "a_core_second": round(blast["renewals"] / cpu), **spread([us / 1000 for us in blast["us"]])},
        ">= 10000 a second", a_second >= 10000))
    sessions.end()
    arbiter.end()
    return rows
