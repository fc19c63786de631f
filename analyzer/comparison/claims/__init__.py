"""The claims of the MC/S-versus-MPIO debate, each an experiment on the user's own recording."""
