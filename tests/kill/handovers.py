"""The operator of the kill loops: keeps somebody waiting for every drive, in every way that there is to want one."""
import random
import threading

import arbiter_client
from chassis import ARBITER


class Handovers(threading.Thread):
    def __init__(self, chassis, blades, seed):
        super().__init__(name="operator", daemon=True)
        self.chassis, self.blades = chassis, blades
        self.random = random.Random(f"{seed} operator")
        self.ending = threading.Event()
        self.asked = {}      # by policy, answered with 200
        self.unanswered = 0  # by a killed arbiter
        self.strange = []    # answers that no operator should get

    def run(self):
        while not self.ending.wait(self.random.uniform(0.01, 0.08)):
            try:
                self.want_something(self.random.choice(self.chassis.drives))
            except arbiter_client.Unreachable:
                self.unanswered += 1

    def want_something(self, drive):
        mine = [lease for lease in arbiter_client.leases(ARBITER) if lease["drive"] == drive]
        holders = [lease["blade"] for lease in mine if lease["state"] == "held"]
        if holders and self.random.random() < 0.08:
            force = self.random.random() < 0.5
            return self.ask("withdraw-force" if force else "withdraw", "/v1/withdrawals",
                            {"drive": drive, "blades": [self.random.choice(holders)], "force": force})
        if len(mine) > 2:
            return None
        policy = self.random.choices(("queue", "take", "force", "no-queue"), (55, 20, 20, 5))[0]
        access = "write" if self.random.random() < 0.85 else "read"
        return self.ask(policy, "/v1/presentations", {"drive": drive, "blades": [self.random.choice(self.blades)],
                                                      "access": access, "policy": policy, "deadline_ms": 2000})

    def ask(self, name, path, body):
        status, answer = self.chassis.ask("POST", path, body)
        if status == 200:
            self.asked[name] = self.asked.get(name, 0) + 1
        elif status not in (404, 409, 503):
            self.strange.append(f"{path} {body}: {status} {answer}")
