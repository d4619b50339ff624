"""The rules as policies of Pulumi, and what Pulumi shows them as a plan."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pulumi_policy import EnforcementLevel, PolicyResource, StackValidationArgs, StackValidationPolicy
from pulumi_policy.policy import ReportViolation
from pulumi_policy.proxy import UnknownValueError

from infra.policy.declared import Declared, Plan
from infra.policy.rules import RULES, Rule

NAME = "cutover"


def policies() -> list[StackValidationPolicy]:
    """Return a policy for each rule: a finding stops the update."""
    return [
        StackValidationPolicy(
            name=name,
            description=(rule.__doc__ or name).strip().splitlines()[0],
            validate=_validation(rule),
            enforcement_level=EnforcementLevel.MANDATORY,
        )
        for name, rule in RULES.items()
    ]


def plan_of(resources: Iterable[PolicyResource]) -> Plan:
    """Return the stack that Pulumi shows, without what it does not know yet."""
    return [
        Declared(
            type=one.resource_type,
            name=one.name,
            properties=_known(one.props),
            engine=_engine(one),
            urn=one.urn,
        )
        for one in resources
    ]


def _validation(rule: Rule) -> Any:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        for finding in rule(plan_of(args.resources)):
            report(finding.message, finding.urn or None)

    return validate


def _engine(resource: PolicyResource) -> str:
    if resource.provider is None:
        return ""
    return str(_known(resource.provider.props).get("host") or resource.provider.name)


def _known(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties that are known, at any depth: asking for another raises."""
    found: dict[str, Any] = {}
    for key in properties:
        try:
            found[key] = _plain(properties[key])
        except UnknownValueError:
            continue
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _known(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return _known_items(value)
    return value


def _known_items(values: Sequence[Any]) -> list[Any]:
    found = []
    for index in range(len(values)):
        try:
            found.append(_plain(values[index]))
        except UnknownValueError:
            continue
    return found
