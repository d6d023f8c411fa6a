covey up -H hosts.txt
covey status | head -n 1
