printf '# the machines of the lab\nlab1\nlab2\n' >hosts.txt
covey hosts check hosts.txt
printf 'lab1\nlab 2\nlab3:ssh\n' >slips.txt
covey hosts check slips.txt || echo "exit code $?"
