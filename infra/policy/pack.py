"""The rules as policies of Pulumi, and what Pulumi shows them as a plan."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pulumi_policy import EnforcementLevel, PolicyResource, StackValidationArgs, StackValidationPolicy
from pulumi_policy.policy import ReportViolation
from pulumi_policy.proxy import UnknownValueError

from infra.policy.declared import NOT_YET, Declared, Plan
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
    """Return the stack that Pulumi shows."""
    return [
        Declared(
            type=one.resource_type,
            name=one.name,
            properties=_plain(one.props),
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
    return str(_plain(resource.provider.props).get("host") or "")


def _plain(value: Any) -> Any:
    """Return plain values at any depth: Pulumi's own raise where something is not known yet."""
    if isinstance(value, Mapping):
        return {key: _item(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_item(value, index) for index in range(len(value))]
    return value


def _item(values: Any, key: str | int) -> Any:
    try:
        return _plain(values[key])
    except UnknownValueError:
        return NOT_YET
