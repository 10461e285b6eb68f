"""The command line: one file for each command, and the exit statuses that scripts rely on.

In:    arguments, files, signals.
Out:   main() (zsfuzz/cli/main.py); 0 nothing found, 1 a finding, 2 the user's mistake, 3 a fault of ours.
Never: anything that the packages below could do without a command line.
Next:  the fuzz loop in zsfuzz/campaign/, what is printed in zsfuzz/report/.
"""
