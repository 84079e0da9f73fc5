"""Write a configuration for a folder of raw files: read, group, find the branches."""
