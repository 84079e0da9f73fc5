"""From a folder of raw files to a configuration: look at each file, group, find the branch, write it down."""
