"""The packet rules of container stacks: a chain of its own for each, changed in single steps.

A chain hangs in DOCKER-USER, which sees what containers send each other, and in
INPUT and OUTPUT, which see what passes between containers and this host. Nothing
else of the machine's rules is touched.
"""

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.containers.claims import Claim, Comment, from_comment
from infra.embedded.errors import StackError

HOOKS = ("DOCKER-USER", "INPUT", "OUTPUT")
PREFIX = "CUTOVER-"

_BRIDGED = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
_LOCK = Path("/run/cutover-rules.lock")
_PROGRAMS = ("iptables-save", "iptables-restore")
_WAIT_SECONDS = "5"


class RulesUnavailable(StackError):
    """Packets between containers cannot be stopped from here; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as the kernel has it."""

    chain: str
    text: str  #: as iptables-save writes it, without `-A CHAIN`
    comment: Comment | None

    @property
    def jump(self) -> str | None:
        """Return the chain or target that this rule leads to."""
        words = shlex.split(self.text)
        return words[words.index("-j") + 1] if "-j" in words else None


def chain_of(stack: str) -> str:
    """Return the name of a stack's chain; names of chains are short, so it is a digest."""
    return PREFIX + hashlib.sha256(stack.encode()).hexdigest()[:12]


def check_available() -> None:
    """Raise RulesUnavailable unless rules made here act on what containers send each other."""
    if os.geteuid() != 0:
        raise RulesUnavailable("links can only be cut by root: packet rules need it")
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        raise RulesUnavailable(f"{missing} not found: install iptables to cut links between containers")
    if not _BRIDGED.exists() or _BRIDGED.read_text().strip() != "1":
        raise RulesUnavailable(
            "packets on a bridge pass by the rules, so that no link would be cut: "
            "run `sysctl -w net.bridge.bridge-nf-call-iptables=1` (module br_netfilter)"
        )
    if HOOKS[0] not in read().chains:
        raise RulesUnavailable(
            f"there is no chain {HOOKS[0]}: does a Docker engine run on this machine, with its iptables on?"
        )


@dataclass(frozen=True, slots=True)
class Table:
    """The filter table as it is."""

    chains: frozenset[str]
    rules: tuple[Rule, ...]

    def of(self, chain: str) -> tuple[Rule, ...]:
        """Return the rules of one chain."""
        return tuple(rule for rule in self.rules if rule.chain == chain)

    def jumps_to(self, chain: str) -> tuple[Rule, ...]:
        """Return the rules elsewhere that lead to this chain."""
        return tuple(rule for rule in self.rules if rule.jump == chain)


def read() -> Table:
    """Return the filter table."""
    done = subprocess.run([_PROGRAMS[0], "-t", "filter"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RulesUnavailable(f"iptables-save failed: {done.stderr.strip()}")
    return parse(done.stdout)


def parse(saved: str) -> Table:
    """Return the table that iptables-save wrote."""
    lines = saved.splitlines()
    chains = frozenset(line[1:].split()[0] for line in lines if line.startswith(":"))
    return Table(chains, tuple(_rule(line) for line in lines if line.startswith("-A ")))


def _rule(line: str) -> Rule:
    _, chain, text = line.split(" ", 2)
    words = shlex.split(text)
    said = words[words.index("--comment") + 1] if "--comment" in words else ""
    return Rule(chain, text, from_comment(said))


def replace_rules(claim: Claim, link: str | None, rules: Sequence[str]) -> list[str]:
    """Give a link of a stack these rules instead of the ones that it has; None: all links.

    One change: no packet meets half of it. Returns the rules that were taken away.
    """
    chain = chain_of(claim.stack)
    with _alone():
        table = read()
        there = table.of(chain)
        old = [number for number, rule in enumerate(there, start=1) if link is None or _about(rule, link)]
        _restore([
            *_missing(table, chain, claim),
            *(f"-D {chain} {number}" for number in reversed(old)),  # what was saved reads back otherwise
            *(f"-A {chain} {rule}" for rule in rules),
        ])  # fmt: skip
    return [there[number - 1].text for number in old]


def _about(rule: Rule, link: str) -> bool:
    return rule.comment is not None and rule.comment.link == link


def _missing(table: Table, chain: str, claim: Claim) -> list[str]:
    """Make the chain and what leads to it, where they are not there."""
    there = {rule.chain for rule in table.jumps_to(chain)}
    comment = f'-m comment --comment "{claim.comment()}"'
    made = [] if chain in table.chains else [f":{chain} - [0:0]"]
    return [*made, *(f"-I {hook} 1 {comment} -j {chain}" for hook in HOOKS if hook not in there)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What is to be taken away of one chain."""

    chain: str
    stacks: frozenset[str]
    rules: tuple[Rule, ...]  #: of links
    lines: tuple[str, ...]  #: that do it


def removals(table: Table, chosen: Callable[[Claim], bool]) -> list[Removal]:
    """Return how to take away every rule whose claim is chosen.

    A chain that nothing is left in goes too, with what leads to it, if whoever made
    it is chosen as well.
    """
    chains = sorted(chain for chain in table.chains if chain.startswith(PREFIX))
    return [found for chain in chains if (found := _removal(table, chain, chosen)).lines]


def _removal(table: Table, chain: str, chosen: Callable[[Claim], bool]) -> Removal:
    rules, jumps = table.of(chain), table.jumps_to(chain)
    going = [rule for rule in rules if _is_chosen(rule, chosen)]
    whole = len(going) == len(rules) and all(_is_chosen(jump, chosen) for jump in jumps)
    if whole:
        lines = [f":{chain} - [0:0]", *(f"-D {jump.chain} {jump.text}" for jump in jumps), f"-X {chain}"]
    else:
        numbers = [number for number, rule in enumerate(rules, start=1) if rule in going]
        lines = [f"-D {chain} {number}" for number in reversed(numbers)]
    said = [rule.comment for rule in (*going, *(jumps if whole else ())) if rule.comment]
    return Removal(
        chain=chain,
        stacks=frozenset(one.claim.stack for one in said),
        rules=tuple(going),
        lines=tuple(lines),
    )


def _is_chosen(rule: Rule, chosen: Callable[[Claim], bool]) -> bool:
    return rule.comment is not None and chosen(rule.comment.claim)


def remove(chosen: Callable[[Claim], bool]) -> list[Removal]:
    """Take away every rule whose claim is chosen, in one step; return what was taken away."""
    with _alone():
        found = removals(read(), chosen)
        if found:
            _restore([line for one in found for line in one.lines])
    return found


def _restore(lines: Sequence[str]) -> None:
    text = "\n".join(("*filter", *lines, "COMMIT", ""))
    done = subprocess.run(
        [_PROGRAMS[1], "--noflush", "--wait", _WAIT_SECONDS],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RulesUnavailable(f"the kernel refused packet rules: {done.stderr.strip()}\n{text}")


@contextmanager
def _alone() -> Iterator[None]:
    """Hold off other processes of ours between reading the rules and changing them."""
    with open(_LOCK, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
