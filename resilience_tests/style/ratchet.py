"""What breaks a rule today, and how often. It may only become less.

Mend a file and lower its figure here in the same commit; a new file has none.
"""

from collections.abc import Mapping

ALLOWED: Mapping[str, Mapping[str, int]] = {
    "sleep": {
        "resilience_tests/contract/objects/liar.py": 1,
    },
    "public_docstring": {
        "benchmarks/s3_server.py": 3,
        "infra/s3_server/buckets.py": 8,
        "infra/s3_server/call.py": 3,
        "infra/s3_server/multipart.py": 9,
        "infra/s3_server/objects.py": 8,
        "infra/s3_server/store.py": 1,
    },
}
"""By rule: how many findings a file may have.

The handlers of the S3 server are named after the operations of S3, which is what a docstring would say.
"""

LONG_FILES: Mapping[str, int] = {}
"""How many lines a file may have that is longer than others may be."""
