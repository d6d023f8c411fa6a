"""Every option that `covey map` knows, and every one of GNU parallel's that it does not have.

Pure tables: `grammar` reads the command line by them, `help` says what they mean.
"""

#: Options without a value: spelling -> field of `MapPlan`.
FLAGS = {
    "--keep-order": "keep_order",
    "--keeporder": "keep_order",
    "--tag": "tag",
    "--line-buffer": "line_buffer",
    "--line-buffered": "line_buffer",
    "--linebuffer": "line_buffer",
    "--linebuffered": "line_buffer",
    "--lb": "line_buffer",
    "--dry-run": "dry_run",
    "--dryrun": "dry_run",
    "--dr": "dry_run",
    "--bar": "bar",
    "--eta": "eta",
    "--resume": "resume",
    "--resume-failed": "resume_failed",
    "--resumefailed": "resume_failed",
    "--retry-failed": "retry_failed",
    "--retryfailed": "retry_failed",
    "--shuf": "shuf",
    "--null": "null",
    "--link": "link",
    "--xapply": "link",
    "--pipe": "pipe",
    "--spreadstdin": "pipe",
    "--no-run-if-empty": "no_run_if_empty",
    "--here": "here",
    "--accept-new-host-keys": "accept_new_host_keys",
    "--cancellation": "cancellation",
    "--no-cancellation": "no_cancellation",
    "--preempt": "preempt",
    "--spread": "spread",
    "--trace": "trace",
    "--wait": "wait",
    "--json": "as_json",
    "--quiet": "quiet",
    "--help": "help",
    "-k": "keep_order",
    "-0": "null",
    "-X": "context",
    "-m": "xargs",
    "-r": "no_run_if_empty",
    "-h": "help",
}

#: Options with a value: spelling -> field of `MapPlan`.
VALUES = {
    "--jobs": "jobs",
    "--max-procs": "jobs",
    "--joblog": "joblog",
    "--jl": "joblog",
    "--retries": "retries",
    "--on-lost": "on_lost",
    "--timeout": "timeout",
    "--halt": "halt",
    "--halt-on-error": "halt",
    "--results": "results",
    "--result": "results",
    "--res": "results",
    "--arg-file": "arg_file",
    "--argfile": "arg_file",
    "--colsep": "colsep",
    "--header": "header",
    "--delay": "delay",
    "--max-replace-args": "max_replace_args",
    "--max-args": "max_args",
    "--block": "block",
    "--block-size": "block",
    "--blocksize": "block",
    "--workdir": "workdir",
    "--work-dir": "workdir",
    "--wd": "workdir",
    "--env": "env",
    "--nice": "nice",
    "--memfree": "memfree",
    "--load": "load",
    "--cluster": "cluster",
    "--head": "head",
    "--name": "name",
    "--nats-server": "nats_server",
    "--sshlogin": "sshlogin",
    "--sshloginfile": "hosts_file",
    "--slf": "hosts_file",
    "--hosts-file": "hosts_file",
    "--limit": "limit",
    "--label": "label",
    "--constraint": "label",
    "--avoid": "avoid",
    "--policy": "policy",
    "--probe-ratio": "probe_ratio",
    "--priority": "priority",
    "--user": "user",
    "-S": "sshlogin",
    "-H": "hosts_file",
    "-j": "jobs",
    "-P": "jobs",
    "-a": "arg_file",
    "-C": "colsep",
    "-I": "replacement",
    "-N": "max_replace_args",
    "-n": "max_args",
}

#: Fields that collect the values of all their occurrences.
REPEATED = frozenset({"arg_file", "avoid", "env", "hosts_file", "label", "sshlogin"})

_MACHINES = "name the machines with -S, or once with: covey up HOST…"
_PROGRESS = "use --bar or --eta"
_OUTPUT = "use --lb, or leave it out (grouped per task)"
_REPLACE = "write the replacement string itself, such as {.} or {/}"
_PERL = "covey runs no perl; compute it in the command"
_INPUT = "prepare the list before, and give it on standard input or as :::: FILE"
_SHELL = "quote for the shell yourself, or leave the command unquoted"
_RECORD = "records of --pipe are lines; cut other records in the command"
_FILES = "give the path of a shared directory, or push the files before"
_KILL = "a task gets TERM, 2 seconds later KILL"
_CPUS = "use -j N, and see: covey status"
_DATABASE = "covey keeps a ledger of its own; see: covey jobs"
_SEMAPHORE = "use flock(1)"

#: Options of GNU parallel that covey map does not have, and what to do instead.
REFUSED = {
    **dict.fromkeys(["--controlmaster", "-M", "--ssh", "--ssh-delay", "--sshdelay"], _MACHINES),
    **dict.fromkeys(["--filter-hosts", "--hostgroups", "--hgrp", "--rsync-opts"], _MACHINES),
    **dict.fromkeys(["--onall", "--nonall"], "covey map runs each item on one machine"),
    **dict.fromkeys(["--transferfile", "--tf", "--transfer", "--return", "--trc"], _FILES),
    **dict.fromkeys(["--basefile", "--bf", "--cleanup", "--template", "--tmpl"], _FILES),
    **dict.fromkeys(["--progress", "--total-jobs", "--total"], _PROGRESS),
    **dict.fromkeys(["--ungroup", "-u", "--group", "--latest-line", "--ll"], _OUTPUT),
    **dict.fromkeys(["--output-as-files", "--outputasfiles", "--files"], "use --results DIR"),
    **dict.fromkeys(["--tagstring", "--tag-string", "--ctag", "--ctagstring"], "use --tag"),
    **dict.fromkeys(["--color", "--colour", "--color-failed", "--cf"], "use --tag"),
    **dict.fromkeys(["--tmux", "--tmuxpane", "--tmux-pane", "--fg", "--bg"], _OUTPUT),
    **dict.fromkeys(["--tty", "--open-tty", "-o"], "a task has no terminal"),
    **dict.fromkeys(["--interactive", "-p"], "look with --dry-run first"),
    **dict.fromkeys(["-v", "-t", "--verbose", "--silent"], "see the commands with --dry-run"),
    **dict.fromkeys(["--basenamereplace", "--bnr", "--dirnamereplace", "--dnr"], _REPLACE),
    **dict.fromkeys(["--basenameextensionreplace", "--bner", "--extensionreplace"], _REPLACE),
    **dict.fromkeys(["--er", "--seqreplace", "--slotreplace", "--replace", "-i", "-U"], _REPLACE),
    **dict.fromkeys(["--plus", "--rpl", "--parens", "--filter"], _PERL),
    **dict.fromkeys(["--delimiter", "-d", "-E", "-e", "--eof", "--trim", "--csv"], _INPUT),
    **dict.fromkeys(["--skip-first-line", "--shebang", "--hashbang", "--shebang-wrap"], _INPUT),
    **dict.fromkeys(["-L", "-l", "--max-lines"], "use -N"),
    **dict.fromkeys(["--max-chars", "-s", "--exit", "-x", "--show-limits"], "use -N"),
    **dict.fromkeys(["--max-line-length-allowed"], "use -N"),
    **dict.fromkeys(["--xargs"], "use -m"),
    **dict.fromkeys(["--quote", "-q", "--shell-quote", "--shellquote"], _SHELL),
    **dict.fromkeys(["--arg-sep", "--argsep", "--arg-file-sep", "--argfilesep"], "use -a FILE"),
    **dict.fromkeys(["--recstart", "--recend", "--regexp", "--remove-rec-sep"], _RECORD),
    **dict.fromkeys(["--removerecsep", "--rrs", "--group-by", "--shard", "--bin"], _RECORD),
    **dict.fromkeys(["--round-robin", "--roundrobin", "--round", "--tee"], "use --pipe --block"),
    **dict.fromkeys(["--pipe-part", "--pipepart", "--cat", "--fifo"], "use --pipe --block"),
    **dict.fromkeys(["--block-timeout", "--blocktimeout", "--bt"], "use --pipe --block"),
    **dict.fromkeys(["--compress", "--compress-program", "--decompress-program"], "leave it out"),
    **dict.fromkeys(["--tmpdir", "--tempdir"], "covey keeps output below COVEY_HOME"),
    **dict.fromkeys(["--term-seq", "--termseq"], _KILL),
    **dict.fromkeys(["--noswap", "--memsuspend"], "use --memfree or --load"),
    **dict.fromkeys(["--number-of-cpus", "--number-of-cores", "--number-of-sockets"], _CPUS),
    **dict.fromkeys(["--number-of-threads", "--use-cpus-instead-of-cores"], _CPUS),
    **dict.fromkeys(["--use-cores-instead-of-threads", "--use-sockets-instead-of-threads"], _CPUS),
    **dict.fromkeys(["--process-slot-var"], "use $PARALLEL_JOBSLOT"),
    **dict.fromkeys(["--sql", "--sql-master", "--sqlmaster", "--sql-worker"], _DATABASE),
    **dict.fromkeys(["--sqlworker", "--sql-and-worker", "--sqlandworker"], _DATABASE),
    **dict.fromkeys(["--semaphore", "--semaphore-name", "--semaphorename"], _SEMAPHORE),
    **dict.fromkeys(["--semaphore-timeout", "--semaphoretimeout", "--st", "--id"], _SEMAPHORE),
    **dict.fromkeys(["--profile", "-J", "--plain", "--gnu", "--tollef"], "leave it out"),
    **dict.fromkeys(["--record-env", "--session"], "use --env NAME"),
    **dict.fromkeys(["--no-keep-order", "-g", "-T", "-W", "-B", "-Y"], "leave it out"),
    **dict.fromkeys(["--will-cite", "--citation", "--bibtex", "--no-notice"], "leave it out"),
    **dict.fromkeys(["--embed", "--shell-completion"], "see: covey completion"),
    **dict.fromkeys(["--fast", "--debug", "-D", "--nocmd", "--unsafe"], "leave it out"),
    **dict.fromkeys(["--version", "-V", "--minversion"], "use: covey --version"),
}
#: The same of other parts of covey.
ELSEWHERE = {
    "--schedulers": "items of a map are in the ledger of the head: for calls that schedulers in"
    " memory place, use covey.Executor(schedulers=[…])",
}
