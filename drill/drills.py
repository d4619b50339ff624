"""What a drill is, by name: its schedule, and the suites that the gate runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from drill.nemesis import FAULTS, SITES, Fault
from drill.points import RANDOM, Point, stage_points, victims_by_point
from drill.sample_plan import sample_plan

EARLY = "roll-back-from:"
"""How an ending is called in which the operator rolls back as soon as a stage has begun."""
ENDINGS = (
    "soak",
    "roll-back",
    "complete",
    *(f"{EARLY}{stage}" for stage in ("backfill", "catch-up", "verify")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """One rehearsal, before it is run."""

    seed: int
    fault: str | None = None  #: None: a calm migration
    victim: str | None = None
    point: str | None = None  #: a crash point, or `random`
    plant: str | None = None
    ending: str = "soak"  #: what the operator asks for when the target serves

    @property
    def early(self) -> str | None:
        """The stage, in snake_case, at whose beginning the operator rolls back; None: later or never."""
        return self.ending.removeprefix(EARLY).replace("-", "_") if self.ending.startswith(EARLY) else None

    @property
    def strikes_at_the_end(self) -> bool:
        """Whether its point comes only after the operator has asked for the ending."""
        return self.point not in (None, RANDOM) and Point.parse(str(self.point)).ending is not None

    @property
    def needs(self) -> tuple[str, ...]:
        """What it asks of a stack that not every stack has."""
        return FAULTS[self.fault].needs if self.fault is not None else ()

    @property
    def breaks_links(self) -> bool:
        """Whether links are cut in it, or slowed."""
        return self.fault is not None and FAULTS[self.fault].breaks_links

    @property
    def cuts_power(self) -> bool:
        """Whether what was not synced is lost in it."""
        return self.fault is not None and FAULTS[self.fault].cuts_power

    @property
    def name(self) -> str:
        """What the report calls it."""
        what = f"{self.fault} {self.victim} at {self.point}" if self.fault else "calm"
        end = "" if self.ending == "soak" else f", then {self.ending}"
        plant = f" [{self.plant}]" if self.plant else ""
        return f"{what}{end}{plant}"

    def command(self, commit: str | None) -> str:
        """The command that repeats it."""
        words = ["cutover-drill run --fidelity live", f"--seed {self.seed}"]
        if self.fault:
            words.append(f"--fault {self.fault} --victim {self.victim} --at {self.point}")
        if self.ending != "soak":
            words.append(f"--ending {self.ending}")
        if self.plant:
            words.append(f"--plant {self.plant}")
        return " ".join(words) + (f"   # at commit {commit}" if commit else "")


def smoke(seed: int) -> list[Drill]:
    """A calm migration, each stage x {kill source, kill target}, and one of each other kind."""
    points = [str(point) for point in stage_points(sample_plan())]
    kills = [
        Drill(seed=seed + 1 + n, fault="kill", victim=victim, point=point)
        for n, (point, victim) in enumerate((point, victim) for point in points for victim in SITES)
    ]
    others = [
        Drill(seed=seed + 90, fault="kill", victim="coordinator", point="drain/close-site:after"),
        Drill(seed=seed + 91, fault="pause", victim="coordinator", point="cut-over/grant-epoch:before"),
        Drill(seed=seed + 92, fault="kill", victim="worker", point="catch-up"),
        Drill(seed=seed + 93, fault="pause", victim="worker", point="drain"),
        Drill(seed=seed + 94, fault="cut-then-kill", victim="source", point="verify"),
        Drill(seed=seed + 95, fault="kill", victim="target", point="soak", ending="roll-back"),
        drill_at("back/drain/close-site:before", seed=seed + 96, fault="kill", victim="source"),
        drill_at("rolled-back", seed=seed + 97, fault="kill", victim="target"),
        Drill(seed=seed + 98, fault="cut-then-lose", victim="source", point="drain"),
        Drill(seed=seed + 99, fault="lose", victim="target", point="soak"),
        Drill(seed=seed + 100, fault="isolate", victim="target", point="soak", ending="roll-back"),
    ]
    return [Drill(seed=seed, ending="complete"), *kills, *others]


def full(seed: int) -> list[Drill]:
    """The smoke drills, and every point x every fault x every victim on whom something goes on there.

    Not what needs a stack of its own, such as power cuts: these have suites of their own.

    What outlives a lease takes ten times as long, so it strikes at the beginning of each stage only;
    so do broken links, for which one action is like another.
    """
    drills = smoke(seed)
    for point, victims in victims_by_point(sample_plan()).items():
        if point.parted or point.gives_up:
            continue  # `lose` and `cut-then-lose` of the other points come by there, and stuck workers
        for fault in FAULTS.values():
            for victim in fault.victims:
                if victim in victims and not (fault.needs or (_is_long(fault) and point.action)):
                    drills.append(
                        drill_at(str(point), seed=seed + len(drills), fault=fault.name, victim=victim)
                    )
    return drills


def _is_long(fault: Fault) -> bool:
    return fault.outlives_a_lease or fault.on_links


def drill_at(point: str, *, seed: int, fault: str, victim: str) -> Drill:
    """A drill with the ending that its point needs."""
    ending = Point.parse(point).ending or "soak"
    return Drill(seed=seed, fault=fault, victim=victim, point=point, ending=ending)


def random_kills(seed: int, count: int) -> list[Drill]:
    """A site killed at a seeded random moment, `count` times."""
    return [Drill(seed=seed + n, fault="kill", victim=SITES[n % 2], point=RANDOM) for n in range(count)]


def power_cuts(seed: int) -> list[Drill]:
    """Each stage x {power cut of the source, of the target}."""
    wanted = ((str(point), victim) for point in stage_points(sample_plan()) for victim in SITES)
    return [
        Drill(seed=seed + n, fault="power-cut", victim=victim, point=point)
        for n, (point, victim) in enumerate(wanted)
    ]


def stages(seed: int) -> list[Drill]:
    """A calm migration, and each stage x {kill source, kill target, power cut of the source}."""
    points = [str(point) for point in stage_points(sample_plan())]
    faults = (("kill", "source"), ("kill", "target"), ("power-cut", "source"))
    wanted = ((fault, victim, point) for point in points for fault, victim in faults)
    return [
        Drill(seed=seed),
        *(
            Drill(seed=seed + n, fault=fault, victim=victim, point=point)
            for n, (fault, victim, point) in enumerate(wanted, start=1)
        ),
    ]


def brief(seed: int) -> list[Drill]:
    """A calm migration, and each way for a site to go."""
    return [
        Drill(seed=seed),
        Drill(seed=seed + 1, fault="kill", victim="source", point="drain"),
        Drill(seed=seed + 2, fault="kill", victim="target", point="verify"),
        Drill(seed=seed + 3, fault="power-cut", victim="source", point="catch-up"),
        Drill(seed=seed + 4, fault="power-cut", victim="target", point="soak"),
        Drill(seed=seed + 5, fault="cut-then-kill", victim="source", point="verify"),
        Drill(seed=seed + 6, fault="isolate", victim="target", point="soak", ending="roll-back"),
    ]


SUITES = {"brief": brief, "smoke": smoke, "full": full, "power-cut": power_cuts, "stages": stages}


def listed(drills: Sequence[Drill]) -> list[str]:
    """Their names, for `--list`."""
    return [drill.name for drill in drills]
