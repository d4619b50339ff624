"""A small object server that breaks one promise at a time, as real ones do."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote

from aiohttp import web

TROUBLED_EVERY = 3


@dataclass(slots=True)
class Kept:
    """One object."""

    body: bytes
    headers: dict[str, str]
    tag: str


@dataclass(slots=True)
class Liar:
    """Which promise is broken, and what is stored."""

    lie: str = ""
    objects: dict[str, Kept] = field(default_factory=dict)
    part: bytes = b""  #: of the one upload that is under way
    puts: int = 0

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer one request."""
        key, body = self._key(request), await request.read()
        self.puts += request.method == "PUT"
        troubled = request.method == "PUT" and self.puts % TROUBLED_EVERY == 0
        if troubled and self.lie == "asks to be spared":
            return web.Response(status=503, body=b"<Error><Code>SlowDown</Code></Error>")
        refused = self._refused(request, key, body)
        if self.lie == "checks long before it writes" and request.method == "PUT":
            await asyncio.sleep(0.01)
        if troubled and self.lie == "breaks down":
            refused = 500
        if (
            self.lie == "breaks down late"
            and "uploadId" in request.rel_url.query
            and request.method == "POST"
        ):
            return web.Response(body=b"<Error><Code>InternalError</Code></Error>")
        if refused:
            return web.Response(status=refused)
        match request.method:
            case "POST" | "PUT" if request.rel_url.query:
                return self._uploaded(request, key, body)
            case "PUT":
                kept = Kept(body, self._carried(request), f'"{hashlib.sha256(body).hexdigest()[:32]}"')
                self.objects[key] = kept
                return web.Response(headers={"ETag": kept.tag})
            case "DELETE":
                if request.rel_url.query:
                    return web.Response(status=204)
                self.objects.pop(key, None)
                return web.Response(status=204)
            case _ if key in self.objects:
                kept = self.objects[key]
                return web.Response(body=kept.body, headers=kept.headers | {"ETag": kept.tag})
            case _:
                return web.Response(status=404, body=b"<Error><Code>NoSuchKey</Code></Error>")

    def _uploaded(self, request: web.BaseRequest, key: str, body: bytes) -> web.Response:
        """Begin an upload, take its only part, or end it."""
        if "uploads" in request.rel_url.query:
            return web.Response(body=b"<Result><UploadId>only</UploadId></Result>")
        if request.method == "PUT":
            self.part = body
            return web.Response(headers={"ETag": '"part"'})
        self.objects[key] = Kept(self.part, {}, '"parts"')
        return web.Response(
            body=b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"
        )

    def _key(self, request: web.BaseRequest) -> str:
        key = unquote(request.rel_url.raw_path)
        if self.lie == "folds keys":
            return key.lower()
        return key.replace("//", "/") if self.lie == "rewrites keys" else key

    def _refused(self, request: web.BaseRequest, key: str, body: bytes) -> int:
        seen = self.objects.get(key)
        ignored = self.lie in ("ignores If-None-Match", f"ignores If-None-Match on {request.method}")
        if "If-None-Match" in request.headers and seen and not ignored:
            return 412
        wanted = request.headers.get("If-Match")
        if wanted and seen is None and self.lie != "makes what is not there":
            return 404
        ignored = self.lie in ("ignores If-Match", f"ignores If-Match on {request.method}")
        if wanted and seen is not None and seen.tag != wanted and not ignored:
            return 412
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        wrong = request.headers.get("x-amz-checksum-sha256", digest) != digest
        return 400 if wrong and self.lie != "ignores digests" else 0

    def _carried(self, request: web.BaseRequest) -> dict[str, str]:
        lost = "expires" if self.lie == "drops a header" else ""
        return {
            name: value
            for name, value in request.headers.items()
            if name.lower() != lost
            and name.lower().startswith(("content-", "cache-", "expires", "x-amz-meta-"))
            if name.lower() != "content-length"
        }


@asynccontextmanager
async def lying(lie: str) -> AsyncIterator[tuple[str, Liar]]:
    """Serve it; gives its URL."""
    liar = Liar(lie)
    server = web.Server(liar.answer)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", liar
    finally:
        await runner.cleanup()
