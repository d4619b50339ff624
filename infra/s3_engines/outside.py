"""An S3 server that stands already, outside of every site: how it is named, and who we are there.

Each place has a front of its own (`infra.s3_engines.front`) that dies with the
place; the server behind them is one, so buckets are named by stack and place.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from cutover.model.outputs import ANY_KEYS, PATHS, S3Credentials
from cutover.model.secret import Secret
from infra.embedded.errors import NoS3Server

ACCESS, SECRET, REGION, KEYS = "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_REGION", "S3_KEYS"
"""Variables of the environment with the account there, its region, and what the server does with keys."""

FRONT = "infra.s3_engines.front:serve"
"""What a place's store runs instead, a process as a container."""

USUAL_REGION = "us-east-1"
USUAL_PORTS: Mapping[str, int] = {"http": 80, "https": 443}

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]+")
_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_SHAPE = "say it as http://HOST[:PORT] or https://HOST[:PORT]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """One such server, as a stack uses it. No secret is in it."""

    url: str  #: http://HOST[:PORT] or https://HOST[:PORT], and nothing behind it
    region: str = USUAL_REGION  #: the same for all places
    keys: str = ANY_KEYS  #: what the server does with keys, as ObjectStore has it
    mark: str = ""  #: made at random for each stack: others use this server too, with stacks of the same name

    @property
    def address(self) -> tuple[str, int]:
        """Return the server's host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or USUAL_PORTS[parts.scheme]

    @property
    def tls(self) -> bool:
        return self.url.startswith("https:")

    def bucket(self, stack: str, place: str, number: int | None) -> str:
        """Return the name of a place's bucket in run `number`; None for the one that all runs share.

        At most 63 characters, as S3 wants it: a stack's name has 24, a place's 7, a mark 8.
        """
        end = "" if number is None else f"-r{number}"
        return f"cutover-{stack}-{self.mark}-{place}{end}"


def is_url(name: str) -> bool:
    """Whether a server is named by where it stands, and not as one that a stack can run."""
    return "://" in name


def read_url(text: str) -> str:
    """Return a server's URL in its plain form. Raises NoS3Server, with the value and no password in it."""
    if (wrong := _what_is_wrong(text)) is not None:
        raise NoS3Server(f"--s3-server {without_secrets(text)}: {wrong}; {_SHAPE}")
    parts = urlsplit(text)
    host, port = parts.hostname or "", "" if parts.port is None else f":{parts.port}"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def _what_is_wrong(text: str) -> str | None:
    """Say why a text is not a scheme, a host and perhaps a port; what `urllib` says might show a password."""
    if "@" in text:
        return (
            f"a command line is no place for a password, since everybody here can read it: put the account "
            f"into {ACCESS} and {SECRET}"
        )
    try:
        parts = urlsplit(text)
    except ValueError:
        return "it is no URL"
    if parts.scheme not in USUAL_PORTS:
        return f"S3 is not spoken over {parts.scheme or 'nothing'}"
    if not parts.hostname or not _HOST.fullmatch(parts.hostname):
        return "no host is named in it"
    if not _has_good_port(parts):
        return "its port is none that a server can have"
    if parts.path not in ("", "/") or "?" in text or "#" in text:
        return "something stands behind its host, and a stack makes buckets of its own at the top of a server"
    return None


def _has_good_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0 and not parts.netloc.endswith(":")
    except ValueError:
        return False


def must_be_beyond(there: Outside) -> None:
    """Raise NoS3Server where containers would look for the server in themselves."""
    host, _ = there.address
    try:
        loopback = ip_address(host).is_loopback or ip_address(host).is_unspecified
    except ValueError:
        loopback = host == "localhost" or host.endswith(".localhost")
    if loopback:
        raise NoS3Server(
            f"--s3-server {there.url}: in a container {host} is the container itself. Name the address at "
            f"which other machines reach the server, and let it listen there; or drill on processes of this "
            f"machine: --stack embedded"
        )


def without_secrets(text: str) -> str:
    """Return what can be shown of a text that was to be a URL: nothing before an @, nothing behind a ?."""
    scheme, mark, rest = text.partition("://") if "://" in text else ("", "", text)
    if "@" in rest:
        rest = "***@" + rest.rpartition("@")[2]
    for sign in "?#":
        before, found, _ = rest.partition(sign)
        rest = before + (f"{found}***" if found else "")
    return f"{scheme}{mark}{rest}"


def account(environment: Mapping[str, str] = os.environ) -> S3Credentials:
    """Return who we are at the server. Raises NoS3Server that names the variables which are not set."""
    found = {name: environment.get(name, "").strip() for name in (ACCESS, SECRET)}
    if missing := [name for name, value in found.items() if not value]:
        raise NoS3Server(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set: a server at a URL is "
            f"used under an account of yours that may make, fill, empty and remove buckets. Put its key pair "
            f"into {ACCESS} and {SECRET}, and its region into {REGION} unless that is {USUAL_REGION}"
        )
    return S3Credentials(access_key=found[ACCESS], secret_key=Secret(found[SECRET]))


def told(url: str, mark: str, environment: Mapping[str, str] = os.environ) -> Outside:
    """Return the server at `url` with what the environment says of it. Raises NoS3Server."""
    account(environment)
    region = environment.get(REGION, "").strip() or USUAL_REGION
    if not _REGION.fullmatch(region):
        raise NoS3Server(
            f"{REGION} is {region!r}, which is no name of a region; the usual one is {USUAL_REGION}"
        )
    keys = environment.get(KEYS, "").strip() or ANY_KEYS
    if keys not in (ANY_KEYS, PATHS):
        raise NoS3Server(
            f"{KEYS} is {keys!r}: say {PATHS} for a server that keeps keys as paths of files, else {ANY_KEYS}"
        )
    return Outside(url=read_url(url), region=region, keys=keys, mark=mark)
