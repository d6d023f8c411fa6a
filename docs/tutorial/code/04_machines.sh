covey up --local 2 >/dev/null
covey map -k 'sleep 0.1; echo {}' ::: $(seq 40) >printed 2>/dev/null &
covey chaos kill local2 >/dev/null
wait $!
echo "exit code $?, $(wc -l <printed) items, $(sort -n printed | uniq -d | wc -l) printed twice"
covey down >/dev/null
