"""The command line option that points the suite at any server."""

import pytest

OPTION = "--s3-endpoint"


def add_s3_options(parser: pytest.Parser) -> None:
    """Register the option; belongs into the repository's plugin, so that it works from any folder."""
    parser.addoption(
        OPTION,
        metavar="URL",
        default=None,
        help="judge the S3 server at URL (account in S3_ACCESS_KEY, S3_SECRET_KEY; S3_REGION)",
    )
