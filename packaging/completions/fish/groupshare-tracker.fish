# Completion of the command line of groupshare-tracker in fish.

complete -c groupshare-tracker -l data-dir -x -a '(__fish_complete_directories)' -d 'Keep accounts, groups and file lists here'
complete -c groupshare-tracker -l key -r -F -d "Take the trackers' key from this file"
complete -c groupshare-tracker -l config -r -F -d 'Take more options from this file'
complete -c groupshare-tracker -l json -x -d 'Serve programs that speak JSON at this IP:PORT'
complete -c groupshare-tracker -l json-in-the-clear -d 'Allow an address for --json that other machines can reach'
complete -c groupshare-tracker -l metrics -x -d 'Serve metrics for Prometheus at this [IP:]PORT'
complete -c groupshare-tracker -l relay -x -d 'Relay encrypted bytes between members, at most so many per second'
complete -c groupshare-tracker -l limit -x -d 'Set a limit, such as shares=20K'
complete -c groupshare-tracker -l accounts -x -a 'open closed' -d 'Who makes accounts'
complete -c groupshare-tracker -l log -x -a 'error warn info' -d 'Write lines of this level and above'
complete -c groupshare-tracker -l check -x -a '(__fish_complete_directories)' -d 'Check this data folder for damage, change nothing, and end'
complete -c groupshare-tracker -l repair -x -a '(__fish_complete_directories)' -d 'Repair this data folder and end'
complete -c groupshare-tracker -l help -s h -d 'Print a summary of the command line and end'
complete -c groupshare-tracker -l version -s V -d 'Print the version and end'
complete -c groupshare-tracker -n '__fish_seen_subcommand_from ctl' -f -a 'status users user online groups group files trackers limits audit create_user reset_password disable_user enable_user delete_user kick give_group delete_group read_only forget unforget reload backup restore help'
