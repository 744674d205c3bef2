"""Judges `drivebay status --json` (stdin) by a Python expression: exit status 0 where it is true.

In the expression `drives` and `blades` are by name, a blade's `slots` by number, `leases` by (drive, blade) and
`presentations` by (drive, blade); missing ones raise, which counts as false. The status itself is `status`.
"""
import json
import sys

status = json.load(sys.stdin)
names = {
    "status": status,
    "drives": {d["name"]: d for d in status["drives"]},
    "blades": {b["name"]: dict(b, slots={s["slot"]: s for s in b["slots"]}) for b in status["blades"]},
    "leases": {(l["drive"], l["blade"]): l for l in status["leases"]},
    "presentations": {(p["drive"], p["blade"]): p for p in status["presentations"]},
}
try:
    holds = all(eval(expression, names) for expression in sys.argv[1:])
except (KeyError, IndexError, TypeError) as error:
    print("missing:", error)
    holds = False
if not holds:
    print(json.dumps(status))
sys.exit(0 if holds else 1)
