"""What is wrong with files and settings, before anything runs."""
