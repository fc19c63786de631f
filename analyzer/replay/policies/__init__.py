"""Path policies, one file each; the same for MC/S connections and MPIO sessions."""
