covey map -k --joblog log.tsv 'echo {} >>tried; test -e {}.ready' ::: a b c || echo "exit code $?"
touch a.ready b.ready c.ready
covey map --joblog log.tsv --retry-failed
echo "exit code $?, tried $(wc -l <tried) times"
covey joblog last | tail -n +2 | sort -n | cut -f 1,7,9
