"""What the programs take, their manual pages, their completions and their configuration files say the same."""
import functools
import glob
import os
import re
import subprocess

MACHINES = []

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DAEMONS = {"drivebayfs": "fusefs", "drivebay-arbiterd": "arbiter", "drivebay-gadgetd": "gadgetd"}
OPTION = r"(?<![\w-])--[a-z][a-z-]*"
GENERAL = {"--server", "--identity", "--json", "--help"}      # of every command of drivebay


def text_of(*path):
    with open(os.path.join(TOP, *path), encoding="utf-8") as file:
        return file.read()


def page(*path):
    """A manual page's source, without its fonts and escapes."""
    text = re.sub(r"\\f(\(..|\[.*?\]|.)", "", text_of(*path)).replace(r"\-", "-").replace(r"\(dq", '"')
    return re.sub(r'^\.(B|I|BR|BI|IB|IR|RB|RI|SH|SS)\b', "", text, flags=re.M)


@functools.lru_cache(maxsize=None)
def helped(c_build, *words):
    return subprocess.run([os.path.join(c_build, words[0]), *words[1:], "--help"], check=True, capture_output=True, text=True).stdout


def options_in_help(text):
    """Of the lines that begin with an option: what follows on them may name others."""
    return {option for line in re.findall(r"^  (-\S+)", text, re.M) for option in re.findall(OPTION, line)}


def commands_in_help(text):
    return re.findall(r"^  ([a-z][a-z-]*) ", text.split("\nSubcommands:\n")[1].split("\n\n")[0], re.M) if "\nSubcommands:\n" in text else []


def commands(c):
    """Every command of drivebay that can be given, as its words: ("drivebay", "drive", "add")."""
    found = [("drivebay",)]
    for path in found:
        found += [path + (name,) for name in commands_in_help(helped(c.build, *path))]
    return found


def same(what, one, other, first, second):
    assert one == other, f"{what}: only in {first}: {sorted(one - other)}; only in {second}: {sorted(other - one)}"


def test_a_page_is_rendered_with_warnings(_):
    pages = sorted(glob.glob(os.path.join(glob.escape(TOP), "*", "*.[58]")))
    assert len(pages) >= 8, pages
    for path in pages:
        shown = subprocess.run(["man", "-l", "--warnings", "-E", "UTF-8", path], capture_output=True, text=True, check=False,
                               env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8", "MANROFFSEQ": ""})
        assert shown.returncode == 0 and not shown.stderr, f"{path}: {shown.stderr}"
    return f"{len(pages)} pages"


def test_a_daemon_has_an_option_that_its_page_has_not_or_the_reverse(c):
    for daemon, room in DAEMONS.items():
        options = options_in_help(helped(c.build, daemon))
        section = page(room, f"{daemon}.8").split("OPTIONS\n")[1].split("MOUNT OPTIONS")[0].split("FILES\n")[0]
        listed = {option for head in re.findall(r"^\.TP\n(.*)$", section, re.M) for option in re.findall(OPTION, head)}
        same(daemon, options, listed, "--help", "the page")
        for name, way in (("bash", "_longopt"), ("zsh", "--\n")):     # both ask --help
            assert way in text_of(room, f"{daemon}.{name}-completion"), (daemon, name)


def test_a_command_has_an_option_that_its_page_has_not_or_the_reverse(c):
    options = set()
    for path in commands(c):
        options |= options_in_help(helped(c.build, *path))
    text = page("cli", "drivebay.8")
    named = set(re.findall(OPTION, re.sub(r"drivebay-arbiterd --\S+", "", text)))
    same("drivebay", options, named, "--help", "the page")
    heads = set(re.findall(r'^\.TP\n *"?(?:drivebay )?([a-z][a-z -]*?)"?(?= "| *\[|$)', text.split("COMMANDS\n")[1].split("OPTIONS\n")[0], re.M))
    leaves = {" ".join(path[1:]) for path in commands(c) if not commands_in_help(helped(c.build, *path))}
    same("drivebay", leaves, {head.strip() for head in heads}, "--help", "the page")


def bash_offers(*words):
    """What bash's completion offers for the last of these words; without the library that it is made for, whose part is small."""
    script = f"""
_init_completion() {{ cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} words=("${{COMP_WORDS[@]}}") cword=$COMP_CWORD; }}
_filedir() {{ COMPREPLY=(FILES); }}; compopt() {{ :; }}; _drivebay_names() {{ echo NAMES; }}
. cli/drivebay.bash-completion
_drivebay_names() {{ echo NAMES; }}
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
_drivebay && printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script, "bash", *words], cwd=TOP, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return set(done.stdout.split())


def test_bash_offers_an_option_that_is_none_or_not_all(c):
    for path in commands(c):
        help_ = helped(c.build, *path)
        below = commands_in_help(help_)
        if below:
            same(path, set(below), bash_offers(*path, ""), "--help", "bash's completion")
        if not below or len(path) == 1:
            same(path, options_in_help(help_) | GENERAL, bash_offers(*path, "-"), "--help", "bash's completion")


def zsh_branches():
    """{first word: what zsh's completion knows behind it}; "": before any command."""
    text = text_of("cli", "drivebay.zsh-completion")
    general = set(re.findall(OPTION, text.split("local -a general=(")[1].split("\n    )")[0]))
    before = text.split("_arguments -C")[1].split("\n")[0]
    found = {"": (general | set(re.findall(OPTION, before)),
                  set(re.findall(r"'([a-z-]+)\[", text.split("_values command")[1].split("return")[0])))}
    for name, body in re.findall(r"^        ([a-z-]+)\)\n?(.*?);;", text.split("case $line[1] in")[1], re.M | re.S):
        verbs = re.search(r"1:verb:\((.*?)\)", body)
        found[name] = (general | set(re.findall(OPTION, body)), set(verbs[1].split()) if verbs else set())
    found["*"] = (general, set())
    return found


def test_zsh_offers_an_option_that_is_none_or_not_all(c):
    branches = zsh_branches()
    first = commands_in_help(helped(c.build, "drivebay"))
    same("drivebay", set(first), branches[""][1], "--help", "zsh's completion")
    same("drivebay", options_in_help(helped(c.build, "drivebay")) | GENERAL, branches[""][0], "--help", "zsh's completion")
    for name in first:
        below = [path for path in commands(c) if path[1:2] == (name,)]
        options = set().union(*(options_in_help(helped(c.build, *path)) for path in below)) | GENERAL
        offered, verbs = branches.get(name, branches["*"])
        same(name, options, offered, "--help", "zsh's completion")
        same(name, {path[2] for path in below if len(path) > 2}, verbs, "--help", "zsh's completion")


def keys_of(text):
    """The keys of a libconfig file, in comments as well, with their groups: {"lease.ttl_ms"}."""
    found, groups = set(), []
    for line in text.splitlines():
        line = re.sub(r"^(\s*)(//|#) (?=[a-z_]+ = .*;$)", r"\1", line).strip()
        if line.startswith(("//", "#")):
            continue
        group = re.fullmatch(r"([a-z_]+) *[:=]? *\{?", line)
        if group and not line.endswith(";"):
            groups.append(group[1])
        elif line.startswith("}"):
            groups.pop()
        elif (key := re.match(r"([a-z_]+) = ", line)):
            found.add(".".join([*groups, key[1]]))
    return found


def test_a_key_is_missing_in_its_page_or_in_the_file_that_is_installed(c):
    for daemon, room in DAEMONS.items():
        dump = subprocess.run([os.path.join(c.build, daemon), "--dump-config", "--config", os.path.join(TOP, "etc", f"{room}.cfg")],
                              check=True, capture_output=True, text=True).stdout
        keys = keys_of(dump)
        section = page(room, f"drivebay-{room}.cfg.5").split("KEYS\n")[1].split("\nFILES\n")[0]
        listed = set(re.findall(r"^\.TP\n *([a-z_.]+)$", section, re.M))
        same(daemon, keys, listed, "--dump-config", "the page")
        same(daemon, keys, keys_of(text_of("etc", f"{room}.cfg")), "--dump-config", f"etc/{room}.cfg")
        for key in listed:
            entry = section.split(f"{key}\n")[1].split("\n.TP\n")[0]
            assert "default:" in entry and "Example:" in entry, f"{room}: {key} has no default or no example"
