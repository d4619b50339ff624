"""The Pulumi program of a stack; docs/how-to/bring-up-staging-with-pulumi.md says how it is run."""

from infra.components.settings import read_configuration
from infra.components.stack import Stack

Stack(read_configuration()).deploy()
