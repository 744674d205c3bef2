"""What a test file of the chassis may say. The runner is run.py.

A test is a function test_NAME(c) that gets a booted Chassis. In its file:

    MACHINES = ["mm", "blade01", Spec("wide", udcs=14, addresses={…})]   what it needs
    def setup(c):       once per boot, before the first test of the file
    def teardown(c):    once, after the last

Each file has a boot of its own. After a test that failed the machines are booted
anew. After each test what it started is killed and every cable restored.
"""


class Skip(Exception):
    """raise Skip("reason"): the test cannot be done here."""


def limit(seconds):
    """Decorator: the test's time limit (60 s without it)."""
    def mark(function):
        function.limit = seconds
        return function
    return mark


def needs(*machines):
    """Decorator: machines for this one test, instead of the file's MACHINES."""
    def mark(function):
        function.machines = list(machines)
        return function
    return mark
