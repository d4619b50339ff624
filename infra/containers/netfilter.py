"""The packet rules of container stacks: a chain of its own for each, changed in single steps.

A chain of a stack leads to one for each link, and that to one for each way: packets
are compared with the addresses of the origin first, and with the destination's only
if these match, so that many addresses cost little. Emptying a link's chains heals it.
The stack's chain hangs in DOCKER-USER, which sees what containers send each other, and in
INPUT and OUTPUT, which see what passes between containers and this host. Nothing
else of the machine's rules is touched.
"""

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from infra.containers.claims import Claim, Comment, from_comment
from infra.containers.routes import ways
from infra.containers.urgency import urgent
from infra.embedded.errors import StackError

HOOKS = ("DOCKER-USER", "INPUT", "OUTPUT")
PREFIX = "CUTOVER-"
FORWARD = "FORWARD"
WAYS = ("t", "b")  #: to the destination, and back

_MAIN_LENGTH = len(PREFIX) + 12

_BRIDGED = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
_LOCK = Path("/run/cutover-rules.lock")
_PROGRAMS = ("iptables-save", "iptables-restore")
_WAIT_SECONDS = "5"
_PAUSES = (0.1, 0.5)  #: between looks at a table that an engine may be changing (seconds)
_PASSING = ("ACCEPT", "NFQUEUE", "QUEUE")
"""Targets that may let a packet go on at once: also a program behind a queue can."""


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
        return self._after("-j")

    @property
    def is_goto(self) -> bool:
        """Say whether whoever is led on from here does not come back."""
        return self._after("-g") is not None

    @property
    def is_for_all(self) -> bool:
        """Say whether every packet that comes here meets this rule."""
        said = ["-m", "comment", "--comment", self._after("--comment")]
        return [word for word in self._words if word not in said] == ["-j", self.jump]

    def may_meet(self, bridges: Collection[str]) -> bool:
        """Say whether TCP packets between these interfaces could meet this rule; True when in doubt."""
        named = [name for way in ("-i", "-o") if (name := self._after(way)) and not self._is_negated(way)]
        if any(not any(_is_named(bridge, name) for bridge in bridges) for name in named):
            return False
        return self._is_negated("-p") or self._after("-p") in (None, "tcp", "all")

    @property
    def _words(self) -> list[str]:
        return shlex.split(self.text)

    def _after(self, option: str) -> str | None:
        words = self._words
        return words[words.index(option) + 1] if option in words else None

    def _is_negated(self, option: str) -> bool:
        words = self._words
        return option in words and words[words.index(option) - 1 : words.index(option)] == ["!"]


def _is_named(interface: str, name: str) -> bool:
    """Say whether a rule's name, which may end in +, is an interface's."""
    return interface.startswith(name[:-1]) if name.endswith("+") else interface == name


def chain_of(stack: str) -> str:
    """Return the name of a stack's chain; the kernel takes 28 characters, so it is a digest."""
    return PREFIX + _digest(stack)[: _MAIN_LENGTH - len(PREFIX)]


def chain_of_link(stack: str, link: str) -> str:
    """Return the name of the chain in which a link's packets are found; WAYS behind it: what they meet."""
    return f"{chain_of(stack)}-{_digest(link)[:6]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def is_reachable() -> bool:
    """Say whether rules can be read and changed here at all: a root of few capabilities cannot."""
    if os.geteuid() != 0 or not all(shutil.which(program) for program in _PROGRAMS):
        return False
    try:
        read()
    except RulesUnavailable:
        return False
    return True


def check_available(addresses: Collection[str] = ()) -> None:
    """Raise RulesUnavailable unless rules made here act on what containers send each other.

    `addresses`: of the containers; without them, rules about single interfaces are not judged.
    """
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
    _check_met(_bridges_to(addresses))


def _check_met(bridges: Collection[str]) -> None:
    """Look more than once: an engine that makes a network takes the jump away, and puts it back first."""
    for pause in _PAUSES:
        try:
            return check_met(read(), bridges)
        except RulesUnavailable:
            time.sleep(pause)
    return check_met(read(), bridges)


def check_met(table: "Table", bridges: Collection[str] = ()) -> None:
    """Raise RulesUnavailable unless what containers send each other meets the rules in DOCKER-USER.

    `bridges`: interfaces of their networks; a rule about another one is none about them.
    """
    if HOOKS[0] not in table.chains:
        raise RulesUnavailable(
            f"there is no chain {HOOKS[0]}: does a Docker engine run on this machine, with its iptables on?"
        )
    jump = f"iptables -I {FORWARD} 1 -j {HOOKS[0]}"
    for rule in table.of(FORWARD):
        if rule.jump == HOOKS[0] and rule.is_for_all:
            return
        if _lets_pass(table, rule, bridges):
            raise RulesUnavailable(
                f"packets between containers may pass at `-A {FORWARD} {rule.text}`, before {HOOKS[0]}, "
                f"so that no link would be cut: run `{jump}`"
            )
    raise RulesUnavailable(
        f"{FORWARD} does not lead every packet to {HOOKS[0]}, so that no link would be cut: run `{jump}`"
    )


def _lets_pass(table: "Table", rule: "Rule", bridges: Collection[str]) -> bool:
    """Say whether a packet between these bridges may go on at this rule, without the ones behind it."""
    if not rule.may_meet(bridges):
        return False
    if rule.is_goto or rule.jump in _PASSING or (rule.jump == "RETURN" and rule.chain == FORWARD):
        return True
    return any(_lets_pass(table, inner, bridges) for inner in table.of(rule.jump or ""))


def _bridges_to(addresses: Collection[str]) -> frozenset[str]:
    """Return the interfaces on whose networks these addresses are, as the kernel's routes say."""
    wanted = [IPv4Address(address) for address in addresses]
    return frozenset(way.interface for way in ways() if any(one in way.network for one in wanted))


@dataclass(frozen=True, slots=True)
class Table:
    """The filter table as it is."""

    chains: frozenset[str]
    rules: tuple[Rule, ...]

    def of(self, chain: str) -> tuple[Rule, ...]:
        """Return the rules of one chain."""
        return tuple(rule for rule in self.rules if rule.chain == chain)

    def of_stack(self, main: str) -> list[str]:
        """Return a stack's chain and the chains of its links."""
        return sorted(chain for chain in self.chains if chain == main or chain.startswith(f"{main}-"))

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


def replace_rules(claim: Claim, link: str | None, rules: Mapping[str, Sequence[str]]) -> list[str]:
    """Give a link of a stack these rules, by chain, instead of the ones that it has; None: all links.

    One change: no packet meets half of it. Without rules nothing is made, so that a
    machine on which nothing was cut stays as it is. Returns the rules that were taken away.
    """
    breaks = any(rules.values())
    with _alone():
        table = read()
        chains = _chains_of(table, claim.stack, link)
        emptied = [chain for chain in chains if breaks or chain in table.chains]
        if emptied:
            _restore([
                *(f":{chain} - [0:0]" for chain in emptied),
                *(_missing(table, claim, link) if breaks else ()),
                *(f"-A {chain} {rule}" for chain, these in rules.items() for rule in these),
            ])  # fmt: skip
    return [rule.text for rule in table.rules if rule.chain in emptied]


def _chains_of(table: Table, stack: str, link: str | None) -> list[str]:
    if link is not None:
        return [chain_of_link(stack, link) + way for way in ("", *WAYS)]
    return [chain for chain in table.of_stack(chain_of(stack)) if chain != chain_of(stack)]


def _missing(table: Table, claim: Claim, link: str | None) -> list[str]:
    """Make the chain and what leads to it and from it to the link, where they are not there."""
    chain = chain_of(claim.stack)
    there = {rule.chain for rule in table.jumps_to(chain)}
    made = [] if chain in table.chains else [f":{chain} - [0:0]"]
    hooked = [_jump(f"-I {hook} 1", claim, "-", chain) for hook in HOOKS if hook not in there]
    if link is None or table.jumps_to(chain_of_link(claim.stack, link)):
        return [*made, *hooked]
    return [*made, *hooked, _jump(f"-A {chain}", claim, link, chain_of_link(claim.stack, link))]


def _jump(where: str, claim: Claim, link: str, chain: str) -> str:
    return f'{where} -m comment --comment "{claim.comment(link)}" -j {chain}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What is to be taken away of the chains of one stack."""

    chain: str
    stacks: frozenset[str]
    rules: tuple[Rule, ...]  #: that break links
    lines: tuple[str, ...]  #: that do it


def removals(table: Table, chosen: Callable[[Claim], bool]) -> list[Removal]:
    """Return how to take away every rule whose claim is chosen.

    The chains of a stack in which nothing is left go too, with what leads to them,
    if whoever made them is chosen as well.
    """
    mains = sorted({chain[:_MAIN_LENGTH] for chain in table.chains if chain.startswith(PREFIX)})
    return [found for main in mains if (found := _removal(table, main, chosen)).lines]


def _removal(table: Table, main: str, chosen: Callable[[Claim], bool]) -> Removal:
    chains = table.of_stack(main)
    hooks = [rule for rule in table.jumps_to(main) if rule.comment]
    breaking = [rule for chain in chains if chain != main for rule in table.of(chain)]
    going = [rule for rule in breaking if _is_chosen(rule, chosen)]
    whole = len(going) == len(breaking) and all(_is_chosen(hook, chosen) for hook in hooks)
    emptied = chains if whole else sorted({rule.chain for rule in going})
    lines = [f":{chain} - [0:0]" for chain in emptied]
    if whole:
        lines += [f"-D {hook.chain} {hook.text}" for hook in hooks]
        lines += [f"-X {chain}" for chain in chains]
    said = [rule.comment for rule in (*going, *(hooks if whole else ())) if rule.comment]
    stacks = frozenset(one.claim.stack for one in said)
    return Removal(chain=main, stacks=stacks, rules=tuple(going), lines=tuple(lines))


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
    made = [line for line in lines if line.startswith(":")]
    text = "\n".join(("*filter", *made, *(line for line in lines if line not in made), "COMMIT", ""))
    done = subprocess.run(
        [_PROGRAMS[1], "--noflush", "--wait", _WAIT_SECONDS],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RulesUnavailable(f"the kernel refused packet rules: {done.stderr.strip()}\n{text}")


@contextmanager
def _alone() -> Iterator[None]:
    """Hold off other processes of ours between reading the rules and changing them.

    The programs that do it inherit the urgency: a cut is to come when it is asked for.
    """
    with open(_LOCK, "a") as file, urgent():
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
