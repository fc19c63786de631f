"""Ways from a capture to the same PDU columns: native (the default) and Wireshark (a second opinion)."""
