"""Everything the embedded runtime raises.

StackError
├── StackInUse           another supervisor already holds this stack
├── NoSuchStack          nothing of that name is up
├── NoServerBinaries     no PostgreSQL was found, or none that the server's user can run
├── NoS3Server           the S3 server that was asked for is not here and cannot be built
├── NoPowerCut           this machine, or this user, cannot cut the power of a site's disk
├── NoFreePorts          every block of ports has something listening in it
├── UnsafeFolder         a folder of ours belongs to somebody else or cannot be used
├── ProcessFailed        a process ended, or was not ready in time
└── SupervisorLost       the supervisor's control connection closed
"""


class StackError(Exception):
    """Something the embedded stack was asked for did not happen; the message says what and why."""


class StackInUse(StackError):
    """Another supervisor already holds this stack."""


class NoSuchStack(StackError):
    """Nothing of that name is up."""


class NoServerBinaries(StackError):
    """No PostgreSQL was found, or none that the server's user can run."""


class NoS3Server(StackError):
    """The S3 server that was asked for is not here and cannot be built, or cannot be used for a stack."""


class NoPowerCut(StackError):
    """This machine, or this user, cannot cut the power of a site's disk."""


class NoFreePorts(StackError):
    """Every block of ports has something listening in it."""


class UnsafeFolder(StackError):
    """A folder of ours belongs to somebody else or cannot be used."""


class ProcessFailed(StackError):
    """A process ended, or was not ready in time."""


class SupervisorLost(StackError):
    """The supervisor's control connection closed before it answered."""
