"""The policy pack: `pulumi up --policy-pack infra/policy` stops at a plan that breaks a rule."""

from pulumi_policy import EnforcementLevel, PolicyPack

from infra.policy.pack import NAME, policies

PolicyPack(name=NAME, enforcement_level=EnforcementLevel.MANDATORY, policies=[*policies()])
