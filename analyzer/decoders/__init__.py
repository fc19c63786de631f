"""Ways from a capture to the same PDU columns: native (fast, the default) and Wireshark (the second opinion)."""
