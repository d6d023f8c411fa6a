"""On what kind of file system something lies, and whether that may be another machine's."""

import os
import re
from pathlib import Path

#: File systems on which SQLite's locks or mmap do not hold between hosts, or at all.
_NETWORK = re.compile(
    r"(nfs\d?|cifs|smb\d?|smbfs|ncpfs|afs|coda|lustre|gpfs|ceph|ocfs2|gfs2?|beegfs|pvfs2|orangefs"
    r"|panfs|9p|virtiofs|fuse|fuse\..*|davfs|glusterfs|wekafs)\Z"
)
#: FUSE file systems that are nothing but a layer over a local disk.
_LOCAL_FUSE = frozenset({"fuseblk", "fuse.fuse-overlayfs", "fuse.lxcfs"})


def is_network(kind: str) -> bool:
    """Whether a file system of this kind lies on another machine, or may."""
    return kind not in _LOCAL_FUSE and _NETWORK.match(kind) is not None


def file_system_of(path: Path, mounts: str | None = None) -> str:
    """The kind of file system on which `path` is or would be ("" = cannot be told)."""
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
        except OSError:
            return ""
    wanted = Path(os.path.realpath(path))
    best, kind = -1, ""
    for line in mounts.splitlines():
        head, _, tail = line.partition(" - ")
        fields = head.split(" ")
        if len(fields) < 5 or not tail:
            continue
        point = Path(_unescaped(fields[4]))
        # The longest mount point wins, and of equal ones the last, which hides those before.
        if (wanted == point or point in wanted.parents) and len(point.parts) >= best:
            best, kind = len(point.parts), tail.split(" ", 1)[0]
    return kind


def _unescaped(text: str) -> str:
    """Mountinfo writes space, tab, newline and backslash as octal."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
