covey map --trace 'sleep 0.0{}' ::: 1 2 3 4
covey trace last --csv cdf.csv --perfetto trace.json | head -n 1
cut -d, -f1 cdf.csv | uniq
