"""The sections of the page in reading order, one file each."""
