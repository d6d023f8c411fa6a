"""Programs that run on a machine before covey is there: sent on standard input, read by its Python.

`PROBE` runs on anything from 2.7 on, so that a Python that is too old can say so. Both print one
line after the mark of `covey.agent.machine`. `PROBE` goes on with another program if one comes
(see `further`): a session and a Python more would cost as much again as all that it does.
"""

import json
from collections.abc import Sequence

from covey.agent.machine import ANSWER_MARK

#: What follows the probe begins with its length, in so many digits.
SIZE_DIGITS = 8

_HEAD = f"""
import errno, json, os, sys, time
MARK = {ANSWER_MARK!r}
SIZE_DIGITS = {SIZE_DIGITS}

def say(**what):
    # A start-up file may have printed half a line.
    sys.stdout.write("\\n" + MARK + json.dumps(what) + "\\n")
    sys.stdout.flush()

def answer(**what):
    say(**what)
    os._exit(0)

def why(error):
    return os.strerror(error.errno) if error.errno else str(error)
"""

#: What is the machine like? Arguments: the cluster.
PROBE = (
    _HEAD
    + """
import re
version = ".".join(map(str, sys.version_info[:3]))
if sys.version_info < (3, 11):
    answer(python=version)

problem = remedy = ""

def read(path):
    try:
        with open(path) as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ""

def file_system_of(path):
    wanted, best, kind = os.path.realpath(path) + "/", -1, ""
    for line in read("/proc/self/mountinfo").splitlines():
        head, _, tail = line.partition(" - ")
        words = head.split(" ")
        if len(words) < 5 or not tail:
            continue
        point = re.sub(r"\\\\([0-7]{3})", lambda m: chr(int(m.group(1), 8)), words[4])
        if wanted.startswith(point.rstrip("/") + "/") and len(point) >= best:
            best, kind = len(point), tail.split(" ")[0]
    return kind

def make(path, made):
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        make(parent, made)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    made.append(path)

def home_id(cache):
    path = os.path.join(cache, "home")
    for _ in range(3):
        text = read(path).strip()
        if text:
            return text
        new = path + "." + os.urandom(16).hex()
        with open(new, "x") as file:
            file.write(os.urandom(16).hex())
        try:
            # Of all who share this home, one is the first.
            os.link(new, path)
        except FileExistsError:
            pass
        except OSError:
            os.rename(new, path)
            new = ""
        if new:
            os.unlink(new)
    return read(path).strip()

home = os.path.expanduser("~")
cache = os.path.join(home, ".cache", "covey", sys.argv[1])
mark = ""
try:
    made = []
    make(cache, made)
    if made:
        # So that a purge takes away what was not there before, and nothing else.
        with open(os.path.join(cache, "made"), "a") as file:
            file.write("".join(path + "\\n" for path in reversed(made)))
    mark = home_id(cache)
except OSError as error:
    problem = "its home %s cannot be written: %s" % (home, why(error))
    remedy = "free some space there" if error.errno in (errno.ENOSPC, errno.EDQUOT) else (
        "make it writable, or use an account whose home is")
system = os.uname()
missing = []
for name in ("_ctypes", "fcntl", "_ssl", "zlib"):
    # Those in C only: they are what may be missing, and cost nothing.
    try:
        __import__(name)
    except ImportError:
        missing.append(name.strip("_"))
if missing:
    problem = "its python %s has no %s" % (version, ", ".join(missing))
    remedy = "install a complete one there, or name it: python = in covey.toml"
if not sys.platform.startswith("linux"):
    problem, remedy = "covey's agents need Linux, this is " + system.sysname, ""

try:
    names = os.listdir(cache)
except OSError:
    names = []
try:
    disk = os.statvfs(home)
    free = disk.f_bavail * disk.f_frsize
except OSError:
    free = 0
kind = file_system_of(home)
try:
    cores = len(os.sched_getaffinity(0))
except AttributeError:
    cores = os.cpu_count() or 1
say(
    python=version, executable=sys.executable, cores=cores, disk_free_bytes=free, home=home,
    platform=(system.sysname + " " + system.machine).lower(),
    mem_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    uid=os.getuid(), hostname=system.nodename, now=time.time(), cache=cache,
    machine_id=(read("/etc/machine-id") or read("/var/lib/dbus/machine-id")).strip(),
    boot_id=read("/proc/sys/kernel/random/boot_id").strip(), home_id=mark, home_fs=kind,
    archives=sorted(n for n in names if re.match(r"covey-(head-)?[0-9a-f]+\\.pyz$", n)),
    agents=sorted(n for n in names if os.path.exists(os.path.join(cache, n, "agent.json"))),
    problem=problem, remedy=remedy)

def take(size):
    data = b""
    while len(data) < size:
        piece = os.read(0, size - len(data))
        if not piece:
            os._exit(0)
        data += piece
    return data

sys.argv[1:], further = json.loads(take(int(take(SIZE_DIGITS))))
exec(further)
"""
)

#: Takes a file from standard input. Arguments: directory, name, sha256, size (0: it is there), and
#: perhaps a verb that the file then runs, with the rest of standard input: nothing of that is read
#: here, it may hold keys.
RECEIVE = (
    _HEAD
    + """
import hashlib
directory, name, digest, size = sys.argv[1:5]
verb = sys.argv[5:]
path = os.path.join(directory, name)
new = os.path.join(directory, ".%s.%d.part" % (name, os.getpid()))
left, seen = int(size), hashlib.sha256()
problem = remedy = ""
try:
    if not left:
        with open(path, "rb") as file:
            seen.update(file.read())
        if seen.hexdigest() != digest:
            os.unlink(path)
            problem, remedy = "the archive there is damaged", "again: covey up"
    else:
        # What an earlier transfer left when it was cut.
        for old in os.listdir(directory):
            old = os.path.join(directory, old)
            if old.endswith(".part") and time.time() - os.stat(old).st_mtime > 3600:
                os.unlink(old)
        with open(new, "xb") as file:
            while left:
                data = os.read(0, min(left, 1 << 20))
                if not data:
                    break
                seen.update(data)
                file.write(data)
                left -= len(data)
            file.flush()
            os.fsync(file.fileno())
        if left:
            problem = "the archive was cut short: %d of %s bytes are missing" % (left, size)
            remedy = "again: covey up"
        elif seen.hexdigest() != digest:
            problem = "the archive was damaged on its way (sha256 %s)" % seen.hexdigest()[:12]
            remedy = "again: covey up"
        else:
            os.rename(new, path)
except OSError as error:
    problem = "the archive cannot be written to %s: %s" % (directory, why(error))
    if not left and size == "0":
        problem = "the archive there cannot be read: %s" % why(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "free some space there (%d MB are needed)" % (int(size) // 1000000 + 1)
finally:
    try:
        os.unlink(new)
    except OSError:
        pass
if problem or not verb:
    answer(problem=problem, remedy=remedy)
# This very process goes on: another Python would cost as much again.
data = None
sys.argv = [path] + verb
sys.path.insert(0, path)
from covey.agent.remote import main
sys.exit(main())
"""
)


def further(program: str, argv: Sequence[str]) -> bytes:
    """What is written to a probe that has answered, so that it goes on with a program."""
    data = json.dumps([list(argv), program]).encode()
    return str(len(data)).zfill(SIZE_DIGITS).encode() + data
