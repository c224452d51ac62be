# Completion of the command line of groupshare-client in fish.

complete -c groupshare-client -l exec -x -d 'Carry out this command instead of those on standard input'
complete -c groupshare-client -l json -d 'Speak JSON, for programs'
complete -c groupshare-client -l quiet -d 'Show only results and failures'
complete -c groupshare-client -l announce -x -d 'Tell other members this address too'
complete -c groupshare-client -l state-dir -x -a '(__fish_complete_directories)' -d 'Keep shares and unfinished downloads here'
complete -c groupshare-client -l upload-limit -x -a '500K 1M 10M 100M none' -d 'Give at most so many bytes per second'
complete -c groupshare-client -l download-limit -x -a '500K 1M 10M 100M none' -d 'Take at most so many bytes per second'
complete -c groupshare-client -l workers -x -d 'Threads that download, 1 to 64'
complete -c groupshare-client -l patience -x -a '0 90s 10m 2h forever' -d 'How long a download of a script waits'
complete -c groupshare-client -l accept-fingerprint -x -d 'Trust the trackers with this key from now on'
complete -c groupshare-client -l help -s h -d 'Print a summary of the command line and end'
complete -c groupshare-client -l version -s V -d 'Print the version and end'
