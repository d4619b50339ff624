"""The main job on the user's own files: read a folder, move it under load, compare it with the disk."""

from drill.content.job import ContentSuite
from drill.content.reading import Content, ContentRefused, File, read_content

__all__ = ["Content", "ContentRefused", "ContentSuite", "File", "read_content"]
