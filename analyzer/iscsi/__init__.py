"""PDUs as RFC 7143 writes them: opcodes, header layouts, framing, digests, text keys. No I/O happens here."""
